from __future__ import annotations

import pytest

from msplora_search.adapters.anatomy import dissect
from msplora_search.adapters.roles import counterpart
from tests.adapters import models

BERT = (("query", "value"), ("query",), ("query", "key", "value"))
LLAMA = (("q_proj",), ("v_proj", "q_proj"), ("q_proj", "k_proj", "v_proj"))
GPT = (("c_proj",), ("c_attn",))


@pytest.mark.parametrize(
    ("targets", "choices", "found"),
    [
        (("query", "value"), LLAMA, LLAMA[1]),
        (("k_proj", "q_proj", "v_proj"), BERT, BERT[2]),
        (("q_lin", "v_lin"), BERT, BERT[0]),
        (("query", "value"), BERT, BERT[0]),
        (("query", "value"), GPT, GPT[1]),
        (("c_attn",), BERT, BERT[0]),
        (("decoder:q", "decoder:v"), BERT, BERT[0]),
        (("decoder:q",), (("encoder:q",), ("decoder:q",)), ("decoder:q",)),
        (("key",), BERT, BERT[0]),
        (("dense", "query"), (("q_proj",), ("q_proj", "dense")), ("q_proj", "dense")),
        (("o_proj",), (("q_proj",), ("down_proj",)), ("q_proj",)),
    ],
)
def test_targets_of_one_model_are_those_of_the_same_role_in_another(
    targets: tuple[str, ...], choices: tuple[tuple[str, ...], ...], found: tuple[str, ...]
) -> None:
    assert counterpart(targets, choices) == found


@pytest.mark.parametrize("role", ["attention", "feed-forward", "all-linear"])
def test_wider_roles_correspond_between_architectures(role: str) -> None:
    roles = (("query", "value"), ("attention",), ("feed-forward",), ("all-linear",))
    bert, llama = (
        [dissect(model, asked).targets for asked in roles] for model in (models.bert(2), models.llama(2))
    )
    place = roles.index((role,))
    assert counterpart(bert[place], llama) == llama[place]
    assert counterpart(tuple(sorted(llama[place])), bert) == bert[place]
