"""The code of a model card that embeds texts: by sentence-transformers, or token by token and pooled."""

from __future__ import annotations

from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.pooling import Pooling

LINES = {
    "mean": [
        'mask = inputs["attention_mask"].unsqueeze(-1)',
        "embeddings = (tokens * mask).sum(dim=1) / mask.sum(dim=1)",
    ],
    "cls": ["embeddings = tokens[:, 0]"],
    "last": ['last = inputs["attention_mask"].sum(dim=1) - 1', "embeddings = tokens[range(len(texts)), last]"],
}
"""From tokens (texts, tokens, width) to embeddings (texts, width), by the mode of pooling."""


def loaded_by_sentence_transformers(task: TaskSettings, dtype: str, trust_remote_code: bool) -> list[str]:
    """Load `merged/`, with all that it does behind the model, and compare texts by it."""
    given = "" if dtype == "float32" else f', model_kwargs={{"dtype": "{dtype}"}}'
    given += ", trust_remote_code=True" if trust_remote_code else ""
    return [
        "from sentence_transformers import SentenceTransformer",
        "",
        f'model = SentenceTransformer("merged"{given})',
        "",
        _texts(task),
        "embeddings = model.encode(texts, convert_to_tensor=True).float()",
        "print(model.similarity(embeddings, embeddings))",
    ]


def pooled(task: TaskSettings, pooling: Pooling, most_tokens: int) -> list[str]:
    """Embed texts by the model of transformers, and compare them by their cosines."""
    cut = f'padding=True, truncation=True, max_length={most_tokens}, return_tensors="pt"'
    short = ["embeddings = torch.nn.functional.normalize(embeddings, dim=-1)"] if pooling.normalise else []
    return [
        _texts(task),
        f"inputs = tokenizer(texts, {cut})",
        "with torch.inference_mode():",
        "    tokens = model(**inputs).last_hidden_state.float()",
        *LINES[pooling.mode],
        *short,
        "print(torch.nn.functional.cosine_similarity(embeddings[:, None], embeddings[None], dim=-1))",
    ]


def _texts(task: TaskSettings) -> str:
    return f"texts = [{', '.join(ascii(f'some {column}') for column in task.text or ())}]"
