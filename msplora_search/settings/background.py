"""What stands behind a setting, for those who ask: `explain` prints it after what the field is."""

from __future__ import annotations

BACKGROUND = {
    "model": """
Layers and matrices are found by structure. The targets `query`, `key` and `value` are whatever plays that role:
`q_proj` in LLaMA, `q` in T5, `q_lin` in DistilBERT, and the fused `c_attn` of GPT-2, `Wqkv` of ModernBERT or
`qkv_proj` of Phi-3. `attention`, `feed-forward` and `all-linear` are those modules of every layer; any other
target is a suffix of module names. What is recorded are the names in the model.

Tested with small random models of their real classes, in fp32 and in bf16 on a CPU, are BERT, RoBERTa,
DistilBERT, ELECTRA, DeBERTa-v2, MPNet, ModernBERT, GPT-2, LLaMA, Mistral, Qwen2, Qwen3, Gemma, Phi, Phi-3, OPT,
T5, mT5, UMT5, BART, mBART, M2M100, ViT, DeiT, CLIP vision. Where an encoder stands beside a decoder, each gets
the pyramid over its own depth, with adapters of its own, and cross-attention is a target of its own
(`EncDecAttention.q`). Where a model has other stacks side by side, one is named before the target:
`vision_model:query`. ALBERT is refused: its layers share their weights already.
""",
    "task.kind": """
Larger is better for all: `loss` is reported as the negative mean loss of a token. `causal-lm` puts prompts into
the tokenizer's chat template, or into `template: "Question: {question}\\nAnswer: "`, and trains on the response's
tokens only; batches are packed by length. Two texts are kept apart by what the tokenizer puts between them, or
where that is nothing (GPT-2, LLaMA, Qwen) by its separating token, a line break, or its end of a text. Examples
are cut to `task.max_length` (128) tokens or the model's context, and the run says how many were. Images (JPEG,
PNG, WEBP, GIF, BMP, TIFF, PPM; at most 89 million pixels) are turned upright by their EXIF data and go through
the model's own image processor; those that are not RGB are made so, on white where they are transparent, the
upper 8 bits of 16, and counted. The proxy of `text-regression` trains on standardised numbers, which changes no
correlation; full training takes them as they are, and learns best from numbers of the order of 1.

`token-classification` reads lists of words with a tag for each (`B-PER`, `I-PER`, `O`, by IOB1, IOB2 or IOBES).
The first token of a word stands for it. `f1` is over whole spans of all examples together, as the library seqeval
counts them in its default mode; for tags that are no spans there is `token-accuracy`. Words beyond
`task.max_length` count as called O, so their spans are missed. `multi-label` calls each label whose probability is
above one half; `micro-f1` is of all labels together, `macro-f1` the mean over labels, of which one that no example
has, and that is never called, counts 0.
`multiple-choice` reads each choice behind the text, or behind the second of two texts, as RACE and SWAG do; rows
may have different numbers of choices. All labels of a column are of one form: indices from 0, letters, texts of
choices, or the names that choices of the form `{"text": [...], "label": [...]}` have. `extractive-qa` reads a
context longer than `task.max_length` in windows that share `task.stride` tokens; its `f1` and `exact-match` are
SQuAD's. Where some question has no answer, none is given unless an answer in some window scores more than the
first token, which stands for none; where all have one, a text of up to 30 tokens is always given.
`embedding` trains adapters alone, with no head: on pairs that belong together (and, in a third column, a text that
does not belong to the first) by the cross-entropy of each anchor's own positive among all positives of its batch,
cosines times 20, as sentence-transformers' MultipleNegativesRankingLoss; texts that are the same to the model are
no negatives of each other. So a batch counts as a whole: where memory is short, gradients are cached, and the
update stays that of the whole batch. `recall@k` is the share of anchors whose own positive is among the k nearest
of all positives of a part; it is smaller in a larger part, and its standard error is over anchors, with the
positives as they are. With `label` the cosine learns a score, of which the lowest of the data is 0 and the highest
1. The opening lines say what the model reaches without adapters: many are embedding models already.
""",
    "task.chosen": """
`preference` learns by direct preference optimisation (arXiv 2305.18290): of two responses to a prompt, the
chosen one's log-probability is to rise against the rejected one's, each less its reference, which is what the
same model gives without its adapters. A search computes each reference once a process, for it depends on no
pyramid. Responses are texts, or chats that end with them: the whole chat, or the answer alone as a list of one
message behind the column of prompts. `reward-accuracy` is the share whose chosen response has the larger
reward, in which two equal ones count a half; `loss` is the negative mean of `-log sigmoid(margin)`. In the end
`train` and `confirm` train by trl's DPOTrainer, without dropout of the backbone, as trl does by default.
""",
    "task.dataset": """
A cell of a CSV or TSV file is the text that stands there: `00123` and `1.10` keep their zeros, `NA` and `None`
are texts, `01` and `1` are two classes. A class is a cell's text without outer spaces; typed formats (JSON,
Parquet) may give whole numbers and true/false. Commas, semicolons and tabs are recognised, and whether quotes
are quotes; a row with too many or too few cells is refused with its line. Text is UTF-8. The opening lines say
how many rows were read and how, how many texts are empty, and which classes there are, with their counts;
`task.positive` names the class whose `f1` is meant where there are two (the second, unless you say so), and with
more classes `f1` is the mean over all of them.

Both parts of the proxy come from the file you name, or from the `train` split of a Hugging Face data set. A
fifth of the rows, always the same, is set aside before anything else and never read by a search; where you have
a test part of your own, name it (`dataset: {path: reviews.csv, test: holdout.csv}`) and nothing is set aside.
Where rows belong together (of one patient, passage or conversation), name the column that says so (`group:
patient`): rows with equal cells are one group, which no part of the data splits, and so parts are only about as
large as they were asked to be.
""",
    "space": """
Configurations that build the same model are one configuration: they are counted once, and trained once. The size
of the space is exact, and printed before anything runs. A global, mid or layer rank of 0 drops the level, so
`0/0/r` is plain LoRA. Shipped are `pyramid` (the full one), `tiny`, `paper` (its shapes alone),
`rank_sensitivity`, `boundaries`, `per_group`, `all_linear`, and `language` for language models, which has
`all-linear` first and the paper's `query` and `value` beside it: plain LoRA is trained on both.
""",
    "search.cost": """
All four are exact before anything is trained. `params` counts a shared adapter once. The others are of the pyramid
as stock PEFT serves it, where sharing is unrolled: `unrolled-rank` is the one rank of the exported adapter, the
largest sum of ranks at any site, and what vLLM's `max_lora_rank` bounds; `bytes` the size of its
`adapter_model.safetensors`, head and header included; `flops` the multiplications that an unmerged adapter adds a
token, the sum over sites of their ranks times `d_in + d_out`, without those with the zeros that fill ranks up. A
merged adapter adds none. Fronts, hypervolume, pruning, the rules of `export` and the comparison with LoRA go by
the cost that is named here; `max_params` bounds parameters all the same. Many pyramids have equal bytes, unrolled
rank or multiplications: of those the front has the best, and the range that it is judged over ends one rank beyond
the dearest. Of equal unrolled rank no pyramid can be more than LoRA, which has every freedom of it: there a search
finds what trains best, not what is smallest.
""",
    "search.sampler": """
What a proposal costs is known before it is trained: its parameter count is exact. So what `front` expects of it
has a closed form. A Gaussian process models the metric over parameters and rate, which matter most, and over
ranks, groups, boundaries and targets; it is told how exact each measurement is by the choice of examples, and
learns how much luck a training has. A proposal raises the front wherever the envelope, to the right of its cost,
lies below its metric, and the one that is expected to raise it most, as a mean over log parameters, is trained.
Spaces of up to 60,000 configurations are scored whole, of larger ones a sample and the neighbours of the front;
of more than 4,000 the best 4,000 are scored between two looks at all, which come whenever a twentieth more was
measured. It begins with the cheapest configuration and nine that lie far from all others in size (in a short
search all but its last two), at the middle one of several rates (of an even number the two in turn; the cheapest
also at the next higher one), counts what other workers train as if it were measured, and proposes nothing twice.
Optuna's own samplers are there too; what failed, or was refused, is infeasible to them, so that they leave its
region. A repeat is answered from the record at no cost, and the sampler is asked anew; after ten in a row one of
the configurations that are left is drawn. `tpe` and `gp` begin with ten proposals at random beside the
baselines, `nsga2` with twelve; `brute-force` goes through the whole space, in random order.
""",
    "search.until": """
A search ends with the first that is spent of `trials`, `time`, `steps` and `until: converged`, which is when the
best proposal is expected to add less to the front than 2% of the standard error of a metric. With more of it the
same command goes on. In the end the program says what it expects a further hour to bring: what the model says,
as far as it came true so far. `python -m scripts.bench_ending` replays both on tables of finished trainings.
""",
    "search.baselines": """
Plain LoRA is trained on every choice of targets that the space has, a ladder each: `lora-4` is of the first
choice, `lora-4@attention` of another. The paper's pyramid is trained on the first. Where the rate is searched,
each baseline gets up to three rates across the range; the best by the validation part counts, and is shown on
the judging part like any other point. Where it is the lowest or the highest tried, the report says so. So a
space of three choices of targets with two rates has 26 baseline trainings; `search.baselines` makes them fewer.
""",
    "search.noise_repeats": """
Every trial sees the same examples in the same order and starts from the same head, so what all trials share
cancels in a difference. The standard error of a metric, and of a difference, follows from how far each example
moves it (its influence): one formula for all metrics, with `task.group` over groups of examples. How far
two seeds of one pyramid differ (in adapters, new head, order of batches and dropout) is measured too: the
paper's baseline and the smallest LoRA are trained with `search.noise_repeats` further seeds before the
proposals. It stands in everything that is said of points, and in what the sampler and pruning believe of a
measurement. With `search.repeats` a search ends by training those again of which it is undecided whether they
are on the front (probability 0.2 to 0.8), the most undecided first; points then are means.
""",
    "search.warm_start": """
`search.warm_start: [runs/small, other/front.json]` begins with what earlier studies found, on other models,
depths and tasks too. Each point of their fronts is carried over to the space: depth groups keep their fractions
of the depth (where the numbers of groups differ, the shallowest neighbours become one, or the deepest is
halved), targets go by role (`query` is `q_proj` in another model; where no choice corresponds, the first), ranks
to the nearest of the space by log2(1 + rank), rate and alpha to the nearest by their logarithm. These points are
proposals: they count as `trials`, and may be stopped early. They are trained once each after the baselines, by
rising parameters, before what the sampler proposes and before the repeats that tell the noise. Left out is what
has more than `max_params`, or is trained in any case. A path is looked up beside the study file, then in the
current folder; a front is read from the report, or where none was written from the storage, once: a search that
goes on does not need the earlier study.
""",
    "proxy.judging_examples": """
The best of many noisy trials looks better than it is. So a front is chosen on the validation part and shown
again on a judging part that no choice reads (`judged`); where fewer than 200 rows are left for one, there is
none. What is said of a chosen point ("at most 1.7 points worse than the best (95%)"), and the probability that a
point is on the front, come from a model of both noises, which draws each measurement towards what points of its
size have.
""",
    "pruning": """
Optuna itself has none for several objectives. Here only the metric is unknown, so a rung asks one question: how
probable is it that this trial, trained to the end, raises the front? The answer comes from its curve, from what
earlier trials did between this rung and the end, and from the model's expectation of its configuration; where it
is below `pruning.chance`, the trial stops. Rungs within three times the warm-up are not judged: there a metric
tells how fast a pyramid learns; those before the end look at the first `proxy.early_examples`. Baselines are
never stopped. A stopped trial keeps its adapters and its optimizer, some hundred kB in `.unfinished`, and goes
on from its rung where the model finds later that this gains more a step than a new proposal. So does one whose
process died, and one that a signal stopped, from its last step.
""",
    "backbone": """
`backbone: {dtype: bf16, device_map: auto, gradient_checkpointing: true}` is for large bases, or `quantization:
4bit` (or `8bit`). All trials of a process share one base.
""",
    "training.learning_rate": """
Short proxies need higher rates than full training: a recipe therefore takes its rate from the `training` section
and keeps the proxy's beside it.
""",
    "training.trainer": """
Everything that users of the Trainer know goes through here: `{report_to: tensorboard, bf16: true,
gradient_accumulation_steps: 2, activation_checkpointing: true}`. Training runs under `torchrun` and `accelerate
launch` as it stands: any number of processes takes the same steps. Killed half-way, the same command goes on
from the last whole checkpoint.
""",
    "scale": """
All that search one study on one PostgreSQL database are one search, from whatever folders and machines. They ask
for trials one after another, under a lock of the database, so none is trained twice. Each gives signs of life;
after four that are missing (`scale.heartbeat`, by the database's clock) what it trained is given to another,
from its last rung where `scale.checkpoints` is a folder that both see. The server needs three connections a
worker (`max_connections`, 100 by default). On an SQLite file that several folders name with `--storage` the same
holds for one machine. A server that restarts is waited for, for two minutes. A database password is read from
$MSPLORA_SEARCH_STORAGE, `PGPASSWORD` or `~/.pgpass`, which keep it out of the process list.
""",
    "scale.workers": """
On one machine each worker is a process with its own backbone and its share of the processor's threads. A worker
that is killed loses the one training that it was at, which is done anew. Small models gain where there are many
cores; on two cores two workers are no faster than one. On a Ray cluster `cpus` and `gpus` say what a worker
takes, in fractions where several share a device, such as `scale: {workers: 8, cpus: 4, gpus: 0.5}`. Nodes that
join are used, what a lost one trained goes on elsewhere. Each node has this program installed, and sees the
model, the data and `scale.checkpoints` under the same paths.
""",
    "scale.trial_time": """
What does not fit into memory is computed in smaller parts, down to single examples: the training goes on from
the step that failed, each update is still that of the whole `proxy.batch_size`, and the following trials of the
process keep the micro-batch that fits ("out of memory: micro-batches of 16"). Batches of an evaluation are cut
too. A loss that is NaN or infinite ends its trial at that step (on a GPU within 16 steps, for looking at each
would make it wait). With `scale.trial_time` a trial that takes longer in one attempt fails, between two steps or
two batches of an evaluation. What fails is infeasible to the samplers. A worker of which three configurations in
a row fail, for want of memory or disk, by errors or for time, takes no more: it says so, and the program ends
with exit code 1 unless other workers go on. Divergence does not count: a high rate may fail.
""",
}
"""By the dotted name of a field or section; paragraphs are apart by an empty line."""
