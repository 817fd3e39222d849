from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from msplora_search.proxy.pruning import Peer, should_stop
from msplora_search.settings.models import PruningSettings
from tests.strategies import evaluation, evaluations

peers = st.builds(Peer, st.sampled_from([10, 20, 30, 40]), st.tuples(evaluations()))
rules = st.builds(
    PruningSettings,
    min_peers=st.integers(1, 4),
    margin_se=st.sampled_from([0.0, 1.0, 2.0]),
    keep_share=st.sampled_from([0.0, 0.25, 0.5]),
)


def peer(params: int, right: int, of: int = 100, rung: float = 0.5) -> Peer:
    """A trial that has the first `right` of the examples right."""
    return Peer(params, (evaluation([i < right for i in range(of)], rung),))


STRICT = PruningSettings(min_peers=1, margin_se=1.0, keep_share=0.0)


@given(peers, st.lists(peers, max_size=8), rules, st.randoms())
def test_the_order_of_peers_does_not_matter(
    trial: Peer, others: list[Peer], rule: PruningSettings, r: object
) -> None:
    shuffled = list(others)
    r.shuffle(shuffled)  # type: ignore[attr-defined]
    assert should_stop(trial, shuffled, rule) == should_stop(trial, others, rule)


@given(peers, st.lists(peers, max_size=8), rules)
def test_a_trial_on_or_above_the_envelope_goes_on(trial: Peer, others: list[Peer], rule: PruningSettings) -> None:
    affordable = [p.curve[0].metric for p in others if p.params <= trial.params]
    if trial.curve[0].metric >= max(affordable, default=0.0):
        assert not should_stop(trial, others, rule).stop


@given(peers, st.lists(peers, max_size=8), rules, peers)
def test_a_dearer_peer_cannot_stop_a_trial_that_would_go_on_for_its_gap(
    trial: Peer, others: list[Peer], rule: PruningSettings, dearer: Peer
) -> None:
    dearer = replace(dearer, params=trial.params + 1)
    envelope_only = rule.model_copy(update={"keep_share": 0.0})
    before = should_stop(trial, others, envelope_only).stop
    assert should_stop(trial, [*others, dearer], envelope_only).stop == before


@given(peers, st.lists(peers, max_size=8), rules)
def test_a_wider_margin_never_stops_more(trial: Peer, others: list[Peer], rule: PruningSettings) -> None:
    wider = rule.model_copy(update={"margin_se": rule.margin_se + 1})
    assert should_stop(trial, others, rule).stop or not should_stop(trial, others, wider).stop


@given(peers, st.lists(peers, max_size=8), rules)
def test_a_larger_kept_share_never_stops_more(trial: Peer, others: list[Peer], rule: PruningSettings) -> None:
    larger = rule.model_copy(update={"keep_share": rule.keep_share + 0.25})
    assert should_stop(trial, others, rule).stop or not should_stop(trial, others, larger).stop


@given(peers, st.lists(peers, max_size=8))
def test_without_a_rule_nothing_stops(trial: Peer, others: list[Peer]) -> None:
    assert not should_stop(trial, others, PruningSettings(rule="none")).stop


def test_a_trial_far_below_the_envelope_stops_and_says_why() -> None:
    verdict = should_stop(peer(20, 60), [peer(10, 80)], STRICT)
    assert verdict.stop
    assert "0.2000 below the envelope at rung 0.5" in verdict.reason


def test_the_margin_is_in_standard_errors_of_the_paired_difference() -> None:
    # 4 of 100 examples differ: a gap of 0.04, and a paired standard error of 0.0196 (unpaired: 0.056).
    trial, best = peer(20, 76), peer(10, 80)
    assert should_stop(trial, [best], STRICT).stop
    assert not should_stop(trial, [best], STRICT.model_copy(update={"margin_se": 2.1})).stop


def test_few_peers_decide_nothing() -> None:
    rule = STRICT.model_copy(update={"min_peers": 2})
    assert not should_stop(peer(20, 10), [peer(10, 90)], rule).stop
    assert not should_stop(peer(20, 10), [peer(10, 90), peer(30, 90)], rule).stop
    assert should_stop(peer(20, 10), [peer(10, 90), peer(10, 90)], rule).stop


def test_only_the_same_rung_is_compared() -> None:
    assert not should_stop(peer(20, 10), [peer(10, 90, rung=0.25)], STRICT).stop


def test_the_last_rung_stops_nothing() -> None:
    assert not should_stop(peer(20, 10, rung=1.0), [peer(10, 90, rung=1.0)], STRICT).stop


def test_the_best_share_by_non_domination_is_kept() -> None:
    """Three layers of fronts; the trial is on the second, alone with nothing better than it but one."""
    others = [peer(10, 90), peer(30, 50), peer(40, 40), peer(50, 30)]
    rule = STRICT.model_copy(update={"keep_share": 0.4})
    assert not should_stop(peer(20, 60), others, rule).stop
    assert should_stop(peer(20, 60), others, STRICT).stop


@given(peers, st.lists(peers, max_size=8), rules, st.floats(0, 0.1))
def test_noise_of_training_never_stops_more(
    trial: Peer, others: list[Peer], rule: PruningSettings, training: float
) -> None:
    assert should_stop(trial, others, rule).stop or not should_stop(trial, others, rule, training).stop


def test_a_gap_that_seeds_alone_explain_stops_nothing() -> None:
    worse, better = peer(20, 80), peer(10, 90)
    assert should_stop(worse, [better], STRICT).stop
    assert should_stop(worse, [better], STRICT, training=0.03**2).stop
    assert not should_stop(worse, [better], STRICT, training=0.07**2).stop
