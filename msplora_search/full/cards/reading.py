"""What a model card asks a model that reads: which of several choices is right, and where an answer stands."""

from __future__ import annotations

from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.answer_spans import MOST_TOKENS
from msplora_search.tasks.extractive_qa import stride_of


def choosing(task: TaskSettings, most: int, between: str) -> list[str]:
    """Score some choices, and print the best."""
    columns = task.text or ()
    names = ("text",) if len(columns) == 1 else ("text", "further")
    lines = [f"{name} = {f'some {column}'!a}" for name, column in zip(names, columns, strict=True)]
    lines.append('choices = ["one choice", "another"]')
    second = "choices" if len(columns) == 1 else '[further + " " + choice for choice in choices]'
    cut = f'padding=True, truncation=True, max_length={most}, return_tensors="pt"'
    if between:
        lines.append(f"pairs = [text + {between!a} + choice for choice in {second}]")
        lines.append(f"inputs = tokenizer(pairs, {cut})")
    else:
        lines.append(f"inputs = tokenizer([text] * len(choices), {second}, {cut})")
    return [
        *lines,
        "inputs = {name: tensor[None] for name, tensor in inputs.items()}  # one example",
        "with torch.inference_mode():",
        "    scores = model(**inputs).logits.float()",
        "print(choices[int(scores[0].argmax())])",
    ]


def answering(task: TaskSettings, most: int, between: str, always: bool) -> list[str]:
    """Find the best answer in all windows of a context, and print it.

    Unless there is `always` one: "no answer" where the score of that is higher in some window.
    """
    null = "(ids == tokenizer.cls_token_id).int().argmax() if tokenizer.cls_token_id is not None else 0"
    told = 'max(answers)[1] if max(answers)[0] > no_answer else "no answer"'
    return [
        f"question = {f'some {task.question}'!a}",
        f"context = {f'some {task.context}'!a}",
        "inputs = tokenizer(",
        f'    [question{f" + {between!a}" if between else ""}], [context], truncation="only_second", '
        f"max_length={most},",
        f"    stride={stride_of(task, most)}, return_overflowing_tokens=True, return_offsets_mapping=True, "
        "padding=True,",
        '    return_tensors="pt",',
        ")",
        'offsets = inputs.pop("offset_mapping")',
        "parts = [inputs.sequence_ids(i) for i in range(len(offsets))]",
        "of_context = torch.tensor([[part == 1 for part in window] for window in parts])",
        "of_context &= offsets[..., 1] > offsets[..., 0]",
        'inputs.pop("overflow_to_sample_mapping")',
        "with torch.inference_mode():",
        "    found = model(**inputs)",
        "scores = torch.stack([found.start_logits, found.end_logits], dim=-1).float()",
        'answers = [(-float("inf"), "")]',
        *([] if always else ['no_answer = float("inf")']),
        'for score, inside, places, ids in zip(scores, of_context, offsets, inputs["input_ids"]):',
        *([] if always else [f"    null = {null}", "    no_answer = min(no_answer, float(score[null].sum()))"]),
        "    first, last = score[:, :1], score[:, 1]",
        '    pairs = (first + last).masked_fill(~(inside[:, None] & inside), -float("inf"))',
        f"    pairs = pairs.masked_fill(~torch.ones_like(pairs).bool().triu().tril({MOST_TOKENS - 1}), "
        '-float("inf"))',
        "    start, end = divmod(int(pairs.argmax()), len(pairs))",
        "    answers.append((float(pairs.max()), context[places[start][0] : places[end][1]]))",
        f"print({'max(answers)[1]' if always else told})",
    ]
