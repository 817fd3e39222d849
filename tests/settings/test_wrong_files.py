"""Wrong study, space and recipe files, and wrong overrides: one line, in time, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from msplora_search.errors import InputError
from msplora_search.settings import load_space, load_study
from msplora_search.settings.recipe import load_recipe

STUDY = """\
name: mine
model: org/model
task:
  kind: text-classification
  dataset: org/data
space: tiny
search: {trials: 4}
proxy:
  epochs: 1
"""
SPACE = """\
targets: [[query, value]]
global_rank: [0, 2]
groups: {count: [1, 2]}
"""
RECIPE = """\
name: mine
model: org/model
task: {dataset: org/data}
pyramid:
  global_rank: 8
  groups: [{start: 0, stop: 6, mid_rank: 4, layer_rank: 2}]
  targets: [query, value]
  alpha: 16
training: {epochs: 2}
classes: [bad, good]
"""
WHOLES = {"study.yaml": STUDY, "space.yaml": SPACE, "recipe.yaml": RECIPE}
LOADERS: dict[str, Callable[[str], object]] = {
    "study.yaml": load_study, "space.yaml": load_space, "recipe.yaml": load_recipe,
}  # fmt: skip
SECONDS = 5
"""That a refusal may take on a machine that does other things too; most take milliseconds."""

PLAIN = "a number should be finite and in plain decimal digits"
WORD = "write true or false, or put it in quotes"
ALIASES = "anchors and aliases such as &name and *name are not read"
WHOLE = "it should be a whole number"
NUMBER = "it should be a number"
SWITCH = "it should be true or false"
TEXT = "it should be text; put it in quotes"
LIST = "it should be a list"
SCALING = "it should be 'standard' or 'rank-stabilised'"
FIELDS = "it should be a mapping of fields"
BASELINE = "it should be one of paper, lora, {paper: RANK} and {lora: [RANKS]}"

STUDIES = [
    # (what stands in the study, what stands there instead, line, what is said)
    # names of fields
    ("trials: 4", "trails: 4", 7, "search.trails is no known field; did you mean 'trials'?"),
    ("name: mine", "nmae: mine", 1, "nmae is no known field; did you mean 'name'?"),
    ("epochs: 1", "epoch: 1", 9, "proxy.epoch is no known field; did you mean 'epochs'?"),
    ("kind: text-classification", "kid: x", 4, "task.kid is no known field; did you mean 'kind'?"),
    ("dataset: org/data", "dataset: {pth: x}", 5, "task.dataset.pth is no known field; did you mean 'path'?"),
    ("epochs: 1", "zzz: 1", 9, "proxy.zzz is no known field; there are: batch_size, dropout, early_examples"),
    ("trials: 4", "baselines: [{papre: 8}]", 7, f"search.baselines.0 is {{'papre': 8}}; {BASELINE}"),
    ("space: tiny", "space: {mid_rnak: [1]}", 6, "space.mid_rnak is no known field; did you mean 'mid_rank'?"),
    ("space: tiny", "space: {groups: {cuont: [1]}}", 6, "space.groups.cuont is no known field; did you mean"),
    ("space: tiny", "space: {learning_rate: {low: 1e-3, hihg: 1e-2}}", 6, "did you mean 'high'?"),
    ("epochs: 1", "1: 2", 9, "the name of a field in proxy is 1; it must be a word"),
    ("epochs: 1", "null: 2", 9, "the name of a field in proxy is null; it must be a word"),
    ("epochs: 1", "true: 2", 9, "the name of a field in proxy is true; it must be a word"),
    ("epochs: 1", "on: 2", 9, f"the name of a field in proxy is on; {WORD}"),
    ("epochs: 1", "? [a]\n  : 2", 9, "a list, a mapping or an alias stands for the name of a field"),
    ("epochs: 1", "? {a: b}\n  : 2", 9, "a list, a mapping or an alias stands for the name of a field"),
    ("epochs: 1", "epochs: 1\n  epochs: 2", 10, "the key 'epochs' stands twice"),
    ("trials: 4", "trials: 4, trials: 5", 7, "the key 'trials' stands twice"),
    # missing fields
    ("name: mine\n", "", None, "name is missing; it is required"),
    ("model: org/model\n", "", None, "model is missing; it is required"),
    ("  dataset: org/data\n", "", 3, "task.dataset is missing; it is required"),
    ("dataset: org/data", "dataset: {}", 5, "task.dataset.path is missing; it is required"),
    ("space: tiny", "space: {learning_rate: {low: 1e-3}}", 6, "space.learning_rate.high is missing"),
    ("space: tiny", "space: {learning_rate: {}}", 6, "space.learning_rate.low is missing"),
    # numbers that are none
    ("trials: 4", "trials: true", 7, f"search.trials is true; {WHOLE}"),
    ("trials: 4", "trials: false", 7, f"search.trials is false; {WHOLE}"),
    ("trials: 4", "trials: yes", 7, f"search.trials is yes; {WORD}"),
    ("trials: 4", "trials: many", 7, f"search.trials is 'many'; {WHOLE}"),
    ("trials: 4", "trials: '4'", 7, f"search.trials is '4'; {WHOLE}"),
    ("trials: 4", "trials: 2.5", 7, f"search.trials is 2.5; {WHOLE}"),
    ("trials: 4", "trials: [4]", 7, f"search.trials is [4]; {WHOLE}"),
    ("trials: 4", "trials: {a: 4}", 7, f"search.trials is {{'a': 4}}; {WHOLE}"),
    ("trials: 4", "trials: null", 7, "search.trials is null, and so are time, steps and until"),
    ("trials: 4", "trials:", 7, "search.trials is null, and so are time, steps and until"),
    ("trials: 4", "trials: 2020-01-01", 7, f"search.trials is '2020-01-01'; {WHOLE}"),
    ("trials: 4", "trials: 2020-01-01T10:00:00Z", 7, f"search.trials is '2020-01-01T10:00:00Z'; {WHOLE}"),
    ("trials: 4", "trials: 010", 7, f"search.trials is 010; {PLAIN}"),
    ("trials: 4", "trials: 0x10", 7, f"search.trials is 0x10; {PLAIN}"),
    ("trials: 4", "trials: 0b11", 7, f"search.trials is 0b11; {PLAIN}"),
    ("trials: 4", "trials: 0o17", 7, f"search.trials is '0o17'; {WHOLE}"),
    ("trials: 4", "trials: 1_000", 7, f"search.trials is 1_000; {PLAIN}"),
    ("trials: 4", "trials: 1:30", 7, f"search.trials is 1:30; {PLAIN}"),
    ("trials: 4", "trials: .inf", 7, f"search.trials is .inf; {PLAIN}"),
    ("epochs: 1", "epochs: .inf", 9, f"proxy.epochs is .inf; {PLAIN}"),
    ("epochs: 1", "epochs: -.INF", 9, f"proxy.epochs is -.INF; {PLAIN}"),
    ("epochs: 1", "epochs: .nan", 9, f"proxy.epochs is .nan; {PLAIN}"),
    ("epochs: 1", "epochs: inf", 9, f"proxy.epochs is 'inf'; {NUMBER}"),
    ("epochs: 1", "epochs: NaN", 9, f"proxy.epochs is 'NaN'; {NUMBER}"),
    ("epochs: 1", "epochs: 1e999", 9, "proxy.epochs is 1e999; a number should be finite"),
    ("epochs: 1", "epochs: -1e999", 9, "proxy.epochs is -1e999; a number should be finite"),
    ("epochs: 1", "epochs: true", 9, f"proxy.epochs is true; {NUMBER}"),
    ("epochs: 1", "epochs: off", 9, f"proxy.epochs is off; {WORD}"),
    ("epochs: 1", "epochs: '1e-3'", 9, f"proxy.epochs is '1e-3'; {NUMBER}"),
    ("epochs: 1", "epochs: 1,5", 9, f"proxy.epochs is '1,5'; {NUMBER}"),
    ("epochs: 1", "epochs: \uff11\uff12", 9, f"proxy.epochs is '\uff11\uff12'; {NUMBER}"),
    ("trials: 4", "trials: " + "1" * 5_000, 7, "search.trials is a number of 5,000 characters; it should have"),
    ("epochs: 1", "epochs: 0." + "0" * 5_000, 9, "proxy.epochs is a number of 5,002 characters; it should have"),
    # numbers out of bounds
    ("trials: 4", "trials: -1", 7, "search.trials is -1; it should be greater than or equal to 0"),
    ("trials: 4", "trials: 1e30", 7, "search.trials is 1000000000000000019884624838656; it should be less than"),
    ("trials: 4", "trials: 1000001", 7, "search.trials is 1000001; it should be less than or equal to 1000000"),
    ("trials: 4", "seed: -1", 7, "search.seed is -1; it should be greater than or equal to 0"),
    ("trials: 4", "seed: 2147483648", 7, "search.seed is 2147483648; it should be less than 2147483648"),
    ("trials: 4", "max_params: 0", 7, "search.max_params is 0; it should be greater than or equal to 1"),
    ("epochs: 1", "epochs: 0", 9, "proxy.epochs is 0; it should be greater than 0"),
    ("epochs: 1", "epochs: -0.0", 9, "proxy.epochs is -0.0; it should be greater than 0"),
    ("epochs: 1", "epochs: 1e9", 9, "proxy.epochs is 1000000000.0; it should be less than or equal to 10000"),
    ("epochs: 1", "batch_size: 1e30", 9, "proxy.batch_size is 1000000000000000019884624838656; it should be less"),
    ("epochs: 1", "batch_size: 0", 9, "proxy.batch_size is 0; it should be greater than or equal to 1"),
    ("epochs: 1", "train_examples: 1e20", 9, "proxy.train_examples is 100000000000000000000; it should be less"),
    ("epochs: 1", "learning_rate: 2", 9, "proxy.learning_rate is 2; it should be less than 1"),
    ("epochs: 1", "learning_rate: -1e-3", 9, "proxy.learning_rate is -0.001; it should be greater than 0"),
    ("epochs: 1", "weight_decay: 1e6", 9, "proxy.weight_decay is 1000000.0; it should be less than or equal"),
    ("epochs: 1", "warmup_ratio: 1", 9, "proxy.warmup_ratio is 1; it should be less than 1"),
    ("kind: text-classification", "max_length: 7", 4, "task.max_length is 7; it should be greater than or equal"),
    ("kind: text-classification", "max_length: 1e9", 4, "task.max_length is 1000000000; it should be less than"),
    # switches
    ("epochs: 1", "dropout: 1", 9, f"proxy.dropout is 1; {SWITCH}"),
    ("epochs: 1", "dropout: 'true'", 9, f"proxy.dropout is 'true'; {SWITCH}"),
    ("epochs: 1", "dropout: no", 9, f"proxy.dropout is no; {WORD}"),
    ("space: tiny", "trust_remote_code: 1", 6, f"trust_remote_code is 1; {SWITCH}"),
    ("space: tiny", "space: {per_group: {mid_rank: 1}}", 6, f"space.per_group.mid_rank is 1; {SWITCH}"),
    # texts
    ("name: mine", "name: 4", 1, f"name is 4; {TEXT}"),
    ("name: mine", "name: 010", 1, f"name is 010; {PLAIN}"),
    ("name: mine", "name: yes", 1, f"name is yes; {WORD}"),
    ("name: mine", "name: true", 1, f"name is true; {TEXT}"),
    ("name: mine", "name: null", 1, f"name is null; {TEXT}"),
    ("name: mine", "name: [a]", 1, f"name is ['a']; {TEXT}"),
    ("name: mine", "name: a b", 1, "name is 'a b'; it should have up to 100 letters, digits"),
    ("name: mine", "name: ../up", 1, "name is '../up'; it should have up to 100 letters"),
    ("name: mine", "name: /etc", 1, "name is '/etc'; it should have up to 100 letters"),
    ("name: mine", "name: .hidden", 1, "name is '.hidden'; it should have up to 100 letters"),
    ("name: mine", "name: ends.", 1, "name is 'ends.'; it should have up to 100 letters"),
    ("name: mine", 'name: "mine\\n"', 1, r"name is 'mine\n'; it should have up to 100 letters"),
    ("name: mine", "name: ''", 1, "name is ''; it should have up to 100 letters"),
    ("name: mine", "name: " + "a" * 101, 1, "; it should have up to 100 letters"),
    ("name: mine", "name: NUL", 1, "name is 'NUL'; it should be another word: Windows keeps this one"),
    ("name: mine", "name: com1.x", 1, "name is 'com1.x'; it should be another word"),
    ("model: org/model", "model: ''", 2, "model is ''; it should have at least 1 character"),
    ("model: org/model", "model: 3", 2, f"model is 3; {TEXT}"),
    ("model: org/model", 'model: "a\\0b"', 2, r"model is 'a\x00b'; it must not hold NUL"),
    ("model: org/model", 'model: "\\ud800"', 2, r"model is '\ud800'; it must not hold NUL or half a surrogate"),
    ("model: org/model", 'model: "\\UFFFFFFFF"', 2, "no valid YAML: "),
    ("model: org/model", 'model: "\\q"', 2, "no valid YAML: found unknown escape character 'q'"),
    ("model: org/model", "model: " + "y" * 20_000, 2, "model is a text of 20,000 characters"),
    # choices
    ("kind: text-classification", "kind: poetry", 4, "task.kind is 'poetry'; it should be 'text-classification'"),
    ("kind: text-classification", "kind: [causal-lm]", 4, "task.kind is ['causal-lm']; it should be"),
    ("trials: 4", "sampler: cma", 7, "search.sampler is 'cma'; it should be 'front'"),
    ("trials: 4", "cost: rank", 7, "search.cost is 'rank'; it should be 'params', 'bytes', 'unrolled-rank' or"),
    ("trials: 4", "cost: null", 7, "search.cost is null; it should be 'params'"),
    ("trials: 4", "sampler: true", 7, "search.sampler is true; it should be 'front'"),
    ("epochs: 1", "precision: fp16", 9, "proxy.precision is 'fp16'; it should be 'auto'"),
    ("space: tiny", "space: {shape: flat}", 6, "space.shape is 'flat'; it should be 'any'"),
    ("kind: text-classification", "metric: pearson", 4, "task.metric is pearson, which text-classification does"),
    ("kind: text-classification", "prompt: [a]", 4, "task.prompt is not read by text-classification"),
    # columns and data
    ("kind: text-classification", "label: 3", 4, f"task.label is 3; {TEXT}"),
    ("kind: text-classification", "label: no", 4, f"task.label is no; {WORD}"),
    ("kind: text-classification", "label: [label]", 4, f"task.label is ['label']; {TEXT}"),
    ("kind: text-classification", "label: ''", 4, "task.label is ''; it should have at least 1 character"),
    ("kind: text-classification", "text: 3", 4, "task.text is 3; it should be a column or a list of columns"),
    ("kind: text-classification", "text: {a: b}", 4, "task.text is {'a': 'b'}; it should be a column or a list"),
    ("kind: text-classification", "text: [a, 1]", 4, f"task.text.1 is 1; {TEXT}"),
    ("kind: text-classification", "text: []", 4, "task.text is []; it should have at least 1 item"),
    ("kind: text-classification", "text: [a, b, c]", 4, "has 3 columns; text-classification reads one or two"),
    ("kind: text-classification", "text: [a, a]", 4, "task.text is ['a', 'a']; it should name each column once"),
    ("dataset: org/data", "dataset: 4", 5, "task.dataset is 4; it should be a name, a path, or a mapping"),
    ("dataset: org/data", "dataset: [a]", 5, "task.dataset is ['a']; it should be a name, a path, or a mapping"),
    ("dataset: org/data", "dataset:", 5, "task.dataset is null; it should be a name, a path, or a mapping"),
    ("dataset: org/data", "dataset: {path: 3}", 5, f"task.dataset.path is 3; {TEXT}"),
    ("dataset: org/data", "dataset: {path: x, test_share: true}", 5, f"task.dataset.test_share is true; {NUMBER}"),
    ("dataset: org/data", "dataset: {path: x, test_share: 1}", 5, "task.dataset.test_share is 1; it should be"),
    ("kind: text-classification", "group: [a]", 4, f"task.group is ['a']; {TEXT}"),
    ("kind: text-classification", "group: label", 4, "task.group is the label column too; name a column that"),
    ("epochs: 1", "judging_examples: -1", 9, "proxy.judging_examples is -1; it should be greater than or equal"),
    ("epochs: 1", "judging_examples: none", 9, f"proxy.judging_examples is 'none'; {WHOLE}"),
    # sections
    ("search: {trials: 4}", "search: 4", 7, f"search is 4; {FIELDS}"),
    ("search: {trials: 4}", "search: [trials]", 7, f"search is ['trials']; {FIELDS}"),
    ("search: {trials: 4}", "search:", 7, f"search is null; {FIELDS}"),
    ("space: tiny", "space: 3", 6, f"space is 3; {FIELDS}"),
    ("space: tiny", "space: [tiny]", 6, f"space is ['tiny']; {FIELDS}"),
    ("space: tiny", "space: true", 6, f"space is true; {FIELDS}"),
    ("space: tiny", "space: tini", 6, "space 'tini': no such file, and none of that name is shipped; did you"),
    ("space: tiny", "space: .", 6, "space '.': is a folder; name the file in it"),
    ("space: tiny", "space: ~nobody-here/x.yaml", 6, "space '~nobody-here/x.yaml': no such file"),
    ("space: tiny", "space: " + "s" * 300, 6, ": no such file, and none of that name is shipped"),
    # baselines
    ("trials: 4", "baselines: paper", 7, f"search.baselines is 'paper'; {LIST}"),
    ("trials: 4", "warm_start: runs/first", 7, f"search.warm_start is 'runs/first'; {LIST}"),
    ("trials: 4", "warm_start: {a: b}", 7, f"search.warm_start is {{'a': 'b'}}; {LIST}"),
    ("trials: 4", "warm_start: [a, 3]", 7, "search.warm_start.1 is 3; it should be text"),
    ("trials: 4", "warm_start: [\n  '']", 8, "search.warm_start.0 is ''; it should have at least 1 character"),
    ("trials: 4", "baselines: {paper: 8}", 7, f"search.baselines is {{'paper': 8}}; {LIST}"),
    ("trials: 4", "baselines: [papre]", 7, f"search.baselines.0 is 'papre'; {BASELINE}"),
    ("trials: 4", "baselines: [[paper]]", 7, f"search.baselines.0 is ['paper']; {BASELINE}"),
    ("trials: 4", "baselines: [paper, 4]", 7, f"search.baselines.1 is 4; {BASELINE}"),
    ("trials: 4", "baselines: [{}]", 7, f"search.baselines.0 is {{}}; {BASELINE}"),
    ("trials: 4", "baselines: [{paper: 8, lora: [1]}]", 7, f"; {BASELINE}"),
    ("trials: 4", "baselines: [{paper: 0}]", 7, "search.baselines.0.paper is 0; it should be greater than or"),
    ("trials: 4", "baselines: [{paper: '8'}]", 7, f"search.baselines.0.paper is '8'; {WHOLE}"),
    ("trials: 4", "baselines: [{paper: [8]}]", 7, f"search.baselines.0.paper is [8]; {WHOLE}"),
    ("trials: 4", "baselines: [{paper: 65537}]", 7, "search.baselines.0.paper is 65537; it should be less than"),
    ("trials: 4", "baselines: [{lora: 4}]", 7, "search.baselines.0.lora is 4; it should be a list of ranks"),
    ("trials: 4", "baselines: [{lora: []}]", 7, "search.baselines.0.lora is []; it should have at least 1 item"),
    ("trials: 4", "baselines: [{lora: [0]}]", 7, "search.baselines.0.lora.0 is 0; it should be greater than"),
    ("trials: 4", "baselines: [{lora: [1, true]}]", 7, f"search.baselines.0.lora.1 is true; {WHOLE}"),
    # learning rates, boundaries, rungs
    ("space: tiny", "space: {learning_rate: fast}", 6, "space.learning_rate is 'fast'; it should be a number,"),
    ("space: tiny", "space: {learning_rate: true}", 6, f"space.learning_rate is true; {NUMBER}"),
    ("space: tiny", "space: {learning_rate: 0}", 6, "space.learning_rate is 0; it should be greater than 0"),
    ("space: tiny", "space: {learning_rate: [1e-3, 2]}", 6, "space.learning_rate.1 is 2; it should be less"),
    ("space: tiny", "space: {learning_rate: []}", 6, "space.learning_rate is []; it should have at least 1 item"),
    ("space: tiny", "space: {learning_rate: {low: 0, high: .1}}", 6, "space.learning_rate.low is 0; it should be"),
    ("space: tiny", "space: {learning_rate: {low: 1e-2, high: 1e-3}}", 6, "low 0.01 must be below high 0.001"),
    ("space: tiny", "space: {groups: {boundaries: fre}}", 6, "space.groups.boundaries is 'fre'; it should be"),
    ("space: tiny", "space: {groups: {boundaries: 3}}", 6, "space.groups.boundaries is 3; it should be free,"),
    ("space: tiny", "space: {groups: {boundaries: [33, 67]}}", 6, f"space.groups.boundaries.0 is 33; {LIST}"),
    ("space: tiny", "space: {groups: {boundaries: [[1, 0]]}}", 6, "space.groups.boundaries.0.1 is 0; it should"),
    ("space: tiny", "space: {groups: {boundaries: [[]]}}", 6, "space.groups.boundaries.0 is []; it should have"),
    ("epochs: 1", "rungs: [0.5, 0.3, 1.0]", 9, "proxy.rungs: rungs must rise and end with 1.0"),
    ("epochs: 1", "rungs: [0.5, 0.5, 1.0]", 9, "proxy.rungs: rungs must rise and end with 1.0"),
    ("epochs: 1", "rungs: 1.0", 9, f"proxy.rungs is 1.0; {LIST}"),
    ("epochs: 1", "rungs: [1.0, 2.0]", 9, "proxy.rungs.1 is 2.0; it should be less than or equal to 1"),
    # YAML that is not read
    ("search: {trials: 4}", "search: {trials: 4", 8, "no valid YAML: expected ',' or '}'"),
    ("name: mine", "name: 'mine", 10, "no valid YAML: found unexpected end of stream"),
    ("epochs: 1", "\tepochs: 1", 9, r"no valid YAML: found character '\t' that cannot start any token; indent"),
    ("epochs: 1", " epochs: 1\n  rungs: [1.0]", 10, "no valid YAML: "),
    ("epochs: 1", "epochs: &e 1", 9, ALIASES),
    ("epochs: 1", "epochs: *e", 9, ALIASES),
    ("epochs: 1", "<<: {epochs: 1}", 9, "merge keys (<<) are not read; write the fields out"),
    ("epochs: 1", "epochs: !!int 1", 9, "tags such as 'tag:yaml.org,2002:int' are not read"),
    ("epochs: 1", "rungs: !!set {1.0}", 9, "tags such as 'tag:yaml.org,2002:set' are not read"),
    ("epochs: 1", "rungs: !!omap [a: 1]", 9, "tags such as 'tag:yaml.org,2002:omap' are not read"),
    ("epochs: 1", "epochs: !!binary aGVsbG8=", 9, "tags such as 'tag:yaml.org,2002:binary' are not read"),
    ("epochs: 1", "epochs: !!python/object/apply:os.system ['true']", 9, "tags such as"),
    ("epochs: 1", "epochs: !own 1", 9, "tags such as '!own' are not read"),
    ("proxy:", "---\nproxy:", 8, "a second document begins here (---)"),
    ("epochs: 1", "epochs: \x07", 9, r"holds the character '\x07', which is no text"),
    ("epochs: 1", "epochs: \x00", 9, r"holds the character '\x00', which is no text"),
    ("epochs: 1", "epochs: " + "[" * 5_000, 9, "lists or mappings lie more than 20 deep in each other"),
    ("epochs: 1", "epochs: " + "{a: " * 5_000, 9, "lists or mappings lie more than 20 deep in each other"),
    ("epochs: 1", "rungs:\n" + "".join(f"{' ' * i}- \n" for i in range(4, 90)), 29, "lie more than 20 deep"),
    ("epochs: 1", "rungs: [" + "1," * 30_000 + "]", 9, "the file holds more than 20,000 values"),
]  # fmt: skip

SPACES = [
    ("global_rank: [0, 2]", "global_rank: 8", 2, f"global_rank is 8; {LIST}"),
    ("global_rank: [0, 2]", "global_rank: []", 2, "global_rank is []; it should have at least 1 item"),
    ("global_rank: [0, 2]", "global_rank: [-1]", 2, "global_rank.0 is -1; it should be greater than or equal"),
    ("global_rank: [0, 2]", "global_rank: [1000000000]", 2, "global_rank.0 is 1000000000; it should be less than"),
    ("global_rank: [0, 2]", "global_rank: [0, true]", 2, f"global_rank.1 is true; {WHOLE}"),
    ("global_rank: [0, 2]", "global_rank: [1.5]", 2, f"global_rank.0 is 1.5; {WHOLE}"),
    ("global_rank: [0, 2]", "global_rank:\n  - 0\n  - x", 4, f"global_rank.1 is 'x'; {WHOLE}"),
    ("global_rank: [0, 2]", f"global_rank: {list(range(65))}", 2, "; it should have at most 64 items"),
    ("global_rank: [0, 2]", "global_rank: {low: 1}", 2, f"global_rank is {{'low': 1}}; {LIST}"),
    ("global_rank: [0, 2]", "ranks: [[8, 4]]", 2, "ranks.0.2 is missing"),
    ("global_rank: [0, 2]", "ranks: [[8, 4, 2, 1]]", 2, "ranks.0 is [8, 4, 2, 1]; it should have at most 3 items"),
    ("global_rank: [0, 2]", "ranks: [8, 4, 2]", 2, f"ranks.0 is 8; {LIST}"),
    ("global_rank: [0, 2]", "global_rank: [0]\nranks: [[8, 4, 2]]", 2, "global_rank and ranks exclude each other"),
    ("[[query, value]]", "query", 1, f"targets is 'query'; {LIST}"),
    ("[[query, value]]", "[query, value]", 1, f"targets.0 is 'query'; {LIST}"),
    ("[[query, value]]", "[[query, 4]]", 1, f"targets.0.1 is 4; {TEXT}"),
    ("[[query, value]]", "[[]]", 1, "targets.0 is []; it should have at least 1 item"),
    ("[[query, value]]", "[['']]", 1, "targets.0.0 is ''; it should have at least 1 character"),
    ("count: [1, 2]", "count: [0]", 3, "groups.count.0 is 0; it should be greater than or equal to 1"),
    ("count: [1, 2]", "count: [2000]", 3, "groups.count.0 is 2000; it should be less than or equal to 1024"),
    ("count: [1, 2]", "count: 3", 3, f"groups.count is 3; {LIST}"),
    ("count: [1, 2]", "min_layers: 0", 3, "groups.min_layers is 0; it should be greater than or equal to 1"),
    ("count: [1, 2]", "boundaries: [[1, .inf]]", 3, f"groups.boundaries.0.1 is .inf; {PLAIN}"),
    ("global_rank: [0, 2]", "alpha: 0", 2, "alpha is 0; it should be greater than 0"),
    ("global_rank: [0, 2]", "alpha: [true]", 2, f"alpha.0 is true; {NUMBER}"),
    ("global_rank: [0, 2]", "alpha: 1e300", 2, "alpha is 1e+300; it should be less than or equal to 1000000"),
    ("global_rank: [0, 2]", "alpha: x", 2, f"alpha is 'x'; {LIST}"),
    ("global_rank: [0, 2]", "scaling: rslora", 2, f"scaling is 'rslora'; {SCALING}"),
    ("global_rank: [0, 2]", "scaling: [standard]", 2, f"scaling is ['standard']; {SCALING}"),
    ("global_rank: [0, 2]", "scaling: null", 2, f"scaling is null; {SCALING}"),
    ("global_rank: [0, 2]", "trials: 4", 2, "trials is no known field; there are: alpha, global_rank, groups"),
]  # fmt: skip

RECIPES = [
    ("[bad, good]", "[good]", 10, "classes has 1 names; text-classification needs at least two"),
    ("[bad, good]", "[good, good]", 10, "classes has a name twice; each must be another"),
    ("[bad, good]", "[a, b]\nchosen: {metric: good}", 11, f"chosen.metric is 'good'; {NUMBER}"),
    ("[bad, good]", "[a, b]\nchosen: {metric: .nan}", 11, f"chosen.metric is .nan; {PLAIN}"),
    ("[bad, good]", "[a, b]\nchosen: {trial: 1.5}", 11, f"chosen.trial is 1.5; {WHOLE}"),
    ("[bad, good]", "[a, b]\nchosen: {trial: true}", 11, f"chosen.trial is true; {WHOLE}"),
    ("[bad, good]", "[a, b]\nchosen: {why: [a]}", 11, f"chosen.why is ['a']; {TEXT}"),
    ("[bad, good]", "[a, b]\nchosen: {carried_from: {model: a}}", 11, "chosen.carried_from.pyramid is missing"),
    ("[bad, good]", "[a, b]\nchosen: {other: 1}", 11, "chosen.other is no known field"),
    ("pyramid:", "pyramidd:", 4, "pyramidd is no known field; did you mean 'pyramid'?"),
    ("global_rank: 8", "global_rank: true", 4, "pyramid: global_rank is True; it must be a whole number"),
    ("global_rank: 8", "global_rank: 1e3", 4, "pyramid: global_rank is 1000.0; it must be a whole number"),
    ("global_rank: 8", "global_rank: 1000000000", 4, "global_rank is 1000000000; it must be 0 or more, and at"),
    ("global_rank: 8", "global_rnk: 8", 4, "pyramid: pyramid lacks ['global_rank']"),
    ("stop: 6", "stop: 1000000", 4, "depth group stop is 1000000; it must be 0 or more, and at most 1,024"),
    ("stop: 6", "stop: 0", 4, "depth group 0:0 holds no layer"),
    ("start: 0", "start: 2", 4, "depth group 2:6 leaves a gap after the layers before it"),
    ("mid_rank: 4", "mid_rank: -4", 4, "depth group mid_rank is -4; it must be 0 or more"),
    ("mid_rank: 4", "mid_rank: '4'", 4, "depth group mid_rank is '4'; it must be a whole number"),
    ("[query, value]", "query", 4, "pyramid targets is 'query'; it must be a list"),
    ("[query, value]", "[]", 4, "targets is []; it must name at least one module suffix"),
    ("[query, value]", "[4]", 4, "targets is [4]; it must be a list of module name suffixes"),
    ("[query, value]", "[" + "a" * 300 + "]", 4, "each of at most 255 characters"),
    ("alpha: 16", "alpha: .nan", 8, f"pyramid.alpha is .nan; {PLAIN}"),
    ("alpha: 16", "alpha: true", 4, "alpha of every level is True; it must be a positive number"),
    ("alpha: 16", "alpha: 1e30", 4, "alpha of every level is too large; it must be a positive number up to"),
    ("alpha: 16", "alpha: {top: 1}", 4, "alpha has unknown levels ['top']"),
    ("alpha: 16", "alpha: 0", 4, "alpha of the global level is 0.0; it must be a positive number"),
    ("alpha: 16", "scaling: standard", 4, "pyramid: pyramid lacks ['alpha']"),
    ("alpha: 16", "alpha: 16\n  scaling: rslora", 4, "scaling is 'rslora'; it must be standard or rank"),
    ("training: {epochs: 2}", "training: {epochs: yes}", 9, f"training.epochs is yes; {WORD}"),
    ("training: {epochs: 2}", "training: {epochs: 1e9}", 9, "training.epochs is 1000000000.0; it should be less"),
    ("training: {epochs: 2}", "training: {seed: 1.5}", 9, f"training.seed is 1.5; {WHOLE}"),
    ("training: {epochs: 2}", "training: {trainer: [a]}", 9, f"training.trainer is ['a']; {FIELDS}"),
    ("training: {epochs: 2}", "training: {trainer: {bf16: no}}", 9, f"training.trainer.bf16 is no; {WORD}"),
    ("training: {epochs: 2}", "training: {early_stopping: 0}", 9, "training.early_stopping is 0; it should be"),
    ("[bad, good]", "positive", 10, f"classes is 'positive'; {LIST}"),
    ("training: {epochs: 2}", "classes: [no, yes]", 9, f"classes.0 is no; {WORD}"),
    ("[bad, good]", "[0, 1]", 10, f"classes.0 is 0; {TEXT}"),
]  # fmt: skip

EDITED = [
    (name, old, new, line, said)
    for name, cases in (("study.yaml", STUDIES), ("space.yaml", SPACES), ("recipe.yaml", RECIPES))
    for old, new, line, said in cases
]

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

BYTES = [
    ("empty", b"", "study.yaml: is empty; it must hold fields such as `name: value`"),
    ("a comment alone", b"# nothing\n", "study.yaml: is empty; it must hold fields"),
    ("dashes alone", b"---\n", "study.yaml: is empty; it must hold fields"),
    ("a list", b"- a\n", "study.yaml: holds ['a']; it must hold fields"),
    ("a text", b"just words\n", "study.yaml: holds 'just words'; it must hold fields"),
    ("a number", b"42\n", "study.yaml: holds 42; it must hold fields"),
    ("JSON in lines", b'{"name": "a"}\n{"name": "b"}\n', "study.yaml:2: no valid YAML: "),
    ("UTF-16", STUDY.encode("utf-16"), "study.yaml:1: is not in UTF-8; save the file as UTF-8"),
    ("UTF-16 without a mark", STUDY.encode("utf-16-le"), "study.yaml:1: holds the character '\\x00'"),
    ("UTF-32", STUDY.encode("utf-32"), "study.yaml:1: is not in UTF-8"),
    ("Latin 1", (STUDY + "# caf\u00e9\n").encode("latin-1"), "study.yaml:10: is not in UTF-8; save the file as"),
    ("a gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "study.yaml:1: is not in UTF-8"),
    ("a picture", b"\x89PNG\r\n\x1a\n", "study.yaml:1: is not in UTF-8"),
    ("an escape sequence", b"name: \x1b[31mred\n", "study.yaml:1: holds the character '\\x1b'"),
    ("a large file", b"#" * 1_000_001, "study.yaml: is larger than 1,000,000 bytes"),
    ("a large text", b"name: " + b"x" * 900_000, "study.yaml:1: name is a text of 900,000 characters"),
    ("a bomb of aliases", BOMB.encode(), f"study.yaml:1: {ALIASES}"),
    ("a list in itself", b"&a [*a]\n", f"study.yaml:1: {ALIASES}"),
    ("an odd version", b"%YAML 9.0\n---\na: 1\n", "study.yaml:1: no valid YAML: found incompatible YAML document"),
    ("a version of 5,000 digits", b"%YAML 1." + b"1" * 5_000 + b"\n---\na: 1\n", "study.yaml:1: no valid YAML: "),
    ("a tag alone", b"!!str", "study.yaml:1: tags such as 'tag:yaml.org,2002:str' are not read"),
    ("a question mark", b"?", "study.yaml:1: the name of a field is empty; it must be a word"),
    ("a colon", b": a\n", "study.yaml:1: no valid YAML: expected <block end>"),
]

OVERRIDES = [
    ("search.trials", "--set search.trials: must have the form field=value"),
    ("=4", "--set =4: must have the form field=value"),
    ("search..trials=4", "--set search..trials=4: must have the form field=value"),
    ("search.trials=[", "--set search.trials=[: the value cannot be read: no valid YAML"),
    ("search.trails=4", "--set search.trails=4: search.trails is no known field; did you mean 'trials'?"),
    ("search.trials=x", "--set search.trials=x: search.trials is 'x'; it should be a whole number"),
    (
        "search.trials=",
        "search.trials is null, and so are time, steps and until; give one of these budgets",
    ),
    ("search.time=30", "search.time is 30; it should be text"),
    ("search.time=30m", "search.time is '30m'; it should be a time with its unit, such as 30min, 90s or 1h30min"),
    ("search.time=0min", "search.time is '0min'; it should be a time with its unit"),
    ("search.steps=0", "search.steps is 0"),
    ("search.until=done", "search.until is 'done'; it should be 'converged'"),
    ("search.trials=true", f"--set search.trials=true: search.trials is true; {WHOLE}"),
    ("search.trials=yes", f"--set search.trials=yes: the value cannot be read: the value is yes; {WORD}"),
    ("search.trials=010", f"--set search.trials=010: the value cannot be read: the value is 010; {PLAIN}"),
    ("search.trials=" + "1" * 5_000, "the value is a number of 5,000 characters"),
    ("search.trials=&a 4", f"--set search.trials=&a 4: the value cannot be read: {ALIASES}"),
    ("search.trials=!!int 4", "the value cannot be read: tags such as"),
    ("search.trials=\x07", "--set search.trials=\\x07: the value cannot be read: holds the character"),
    ("search.trials=" + "[" * 5_000, "the value cannot be read: lists or mappings lie more than 20 deep"),
    ("proxy.epochs=.inf", f"the value is .inf; {PLAIN}"),
    ("search=4", f"--set search=4: search is 4; {FIELDS}"),
    ("model.name=x", "--set model.name=x: model is 'org/model', which has no field 'name'; set the whole"),
    ("space.mid_rank.0=3", "space.mid_rank is [0, 1, 2, 4], which has no field '0'; set the whole of it"),
    ("task.dataset.test=x", "task.dataset is 'org/data', which has no field 'test'"),
    ("space=tini", "--set space=tini: space 'tini': no such file"),
    ("a\nb=4", "--set a\\nb=4: a\\nb is no known field"),
    ("search.baselines=[{lora: 4}]", "search.baselines.0.lora is 4; it should be a list of ranks"),
]


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def refusal(folder: Path, load: Callable[[], object], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that `load` refuses with, without the folder; nothing else may have happened."""
    before, began = snapshot(folder), time.monotonic()
    with pytest.raises(InputError) as caught:
        load()
    assert time.monotonic() - began < SECONDS
    assert snapshot(folder) == before
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    message = str(caught.value)
    assert message.isprintable()
    assert len(message.replace(str(folder), "")) < 600
    return message.replace(f"{folder}{os.sep}", "")


@pytest.mark.parametrize(
    ("name", "old", "new", "line", "said"),
    EDITED,
    ids=[f"{name.removesuffix('.yaml')}-{i}-{new[:30]!a}" for i, (name, _, new, *_) in enumerate(EDITED)],
)
def test_a_wrong_file_is_refused_by_line_field_and_value(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, old: str, new: str, line: int | None, said: str
) -> None:
    assert WHOLES[name].count(old) == 1
    path = tmp_path / name
    path.write_text(WHOLES[name].replace(old, new), encoding="utf-8")
    message = refusal(tmp_path, lambda: LOADERS[name](str(path)), capfd)
    place = name if line is None else f"{name}:{line}"
    assert message.startswith(f"{place}: ")
    assert said in message


@pytest.mark.parametrize(("content", "said"), [case[1:] for case in BYTES], ids=[case[0] for case in BYTES])
def test_what_is_no_study_at_all_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    assert refusal(tmp_path, lambda: load_study(str(path)), capfd).startswith(said)


@pytest.mark.parametrize(("override", "said"), OVERRIDES, ids=[ascii(case[0][:30]) for case in OVERRIDES])
def test_a_wrong_override_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], override: str, said: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    assert said in refusal(tmp_path, lambda: load_study(str(path), [override]), capfd)


def test_the_wholes_are_right(tmp_path: Path) -> None:
    for name, text in WHOLES.items():
        (tmp_path / name).write_text(text)
        LOADERS[name](str(tmp_path / name))
    assert len(EDITED) + len(BYTES) + len(OVERRIDES) >= 142


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def make_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


@pytest.mark.parametrize("load", [load_study, load_space, load_recipe])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "is a "),
        (make_link_to_itself, "no such file"),
        (make_dangling_link, "no such file"),
        (make_folder, "is a folder|cannot be read: No such file"),
        (lambda path: None, "no such file"),
    ],
    ids=["pipe", "loop", "dangling", "folder", "nothing"],
)
def test_what_is_no_file_is_refused_without_waiting(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    load: Callable[[str], object],
    make: Callable[[Path], None],
    said: str,
) -> None:
    path = tmp_path / "x.yaml"
    make(path)
    message = refusal(tmp_path, lambda: load(str(path)), capfd)
    assert any(part in message for part in said.split("|")), message


@pytest.mark.parametrize("name", ["/dev/zero", "~nobody-here/x.yaml", "x" * 300, "x/" * 3_000, "\udcff.yaml"])
@pytest.mark.parametrize("load", [load_study, load_space, load_recipe])
def test_names_that_no_file_has_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], load: Callable[[str], object], name: str
) -> None:
    refusal(tmp_path, lambda: load(name), capfd)


def test_a_file_with_a_mark_of_utf_8_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + STUDY.replace("\n", "\r\n").encode())
    assert load_study(str(path)).search.trials == 4


@pytest.mark.parametrize(
    "case", [STUDIES[0], STUDIES[32], BYTES[0], BYTES[16]], ids=["typo", "null", "empty", "bomb"]
)
def test_the_command_line_refuses_in_one_line_with_exit_code_2(
    tmp_path: Path, case: tuple[str, str, int | None, str] | tuple[str, bytes, str]
) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(case[1] if isinstance(case[1], bytes) else STUDY.replace(case[0], case[1]).encode())
    before = snapshot(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", "from msplora_search.cli import main; main()", "validate", str(path)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith(f"error: {path}")
    assert snapshot(tmp_path) == before
