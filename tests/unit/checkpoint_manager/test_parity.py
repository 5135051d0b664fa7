import math

from ropewalk.checkpoint_manager.domain.parity import (
    FIXED_PROMPTS,
    NUM_PROMPTS,
    Completion,
    find_differences,
    find_mean_shift,
    find_other_encodings,
    find_shift,
    head_of,
    pick_prompts,
)

EOS = 0


def test_equal_tokens_agree_and_the_end_token_does_not_matter() -> None:
    paths = {
        "trainer": (Completion("ab", (5, 6, EOS)),),
        "triton": (Completion("ab", (5, 6)),),
        "openai": (Completion("ab", None),),
    }
    assert find_differences(paths, EOS) == ()


def test_the_first_differing_token_is_named_with_its_prompt() -> None:
    paths = {
        "trainer": (Completion("a", (1, 2)), Completion("b", (3, 4, 5))),
        "triton": (Completion("a", (1, 2)), Completion("b", (3, 9, 5))),
    }
    assert find_differences(paths, EOS) == ("triton differs from trainer at prompt 2, token 2: 9 instead of 4",)


def test_a_shorter_answer_differs_where_it_ends() -> None:
    paths = {"trainer": (Completion("abc", (1, 2, 3)),), "export": (Completion("ab", (1, 2)),)}
    assert find_differences(paths, EOS) == ("export differs from trainer at prompt 1, token 3: the end instead of 3",)


def test_text_is_compared_where_a_path_offers_no_tokens() -> None:
    paths = {"trainer": (Completion("abc", (1, 2)),), "openai": (Completion("abd", None),)}
    assert find_differences(paths, EOS) == ("openai differs from trainer at prompt 1, character 3: 'd' instead of 'c'",)


def test_half_a_character_at_the_end_may_be_held_back() -> None:
    paths = {"trainer": (Completion("ab\ufffd", (1, 2)),), "openai": (Completion("ab", None),)}
    assert find_differences(paths, EOS) == ()


def test_a_path_that_skipped_a_prompt_does_not_agree() -> None:
    paths = {"trainer": (Completion("a", (1,)), Completion("b", (2,))), "triton": (Completion("a", (1,)),)}
    assert find_differences(paths, EOS) == ("triton answered 1 of 2 prompts",)


def test_every_path_that_differs_gets_its_sentence() -> None:
    paths = {name: (Completion(name, None),) for name in ("trainer", "export", "triton", "openai")}
    assert [sentence.split()[0] for sentence in find_differences(paths, EOS)] == ["export", "triton", "openai"]


def test_prompts_are_filled_up_with_fixed_ones_and_are_all_different() -> None:
    prompts = pick_prompts(("import sys\n", "import sys\n", "  \n", FIXED_PROMPTS[0]))
    assert len(prompts) == NUM_PROMPTS == len(set(prompts))
    assert prompts[:2] == ("import sys\n", FIXED_PROMPTS[0])


def test_a_prompt_is_the_beginning_of_a_document() -> None:
    assert head_of("a\nb\nc\nd\n") == "a\nb\nc\n"
    assert head_of("x" * 500) == "x" * 120


def test_the_first_log_probability_above_the_bound_is_named_and_the_largest_is_told() -> None:
    largest, sentence = find_shift([(-1.0, -2.0), (-3.0,)], [(-1.0, -2.5), (-4.0,)], 0.1)
    assert largest == 1.0
    assert sentence == (
        "export differs from trainer at prompt 1, token 3: its log-probability is -2.5 instead of -2 (bound 0.1)"
    )
    assert find_shift([(-1.0,)], [(-1.05,)], 0.1)[1] == ""
    assert find_shift([(-1.0,)], [(math.nan,)], 0.1)[0] == math.inf


def test_means_are_compared_where_a_path_gives_them() -> None:
    ours = (Completion("a", (1,), -1.0), Completion("b", (2,), -2.0))
    assert find_mean_shift("openai", ours, (Completion("a", (1,)), Completion("b", (2,))), 0.1) == (None, "")
    theirs = (Completion("a", (9,), -9.0), Completion("b", (2,), -3.0))
    largest, sentence = find_mean_shift("triton", ours, theirs, 0.1)
    assert largest == 1.0
    assert sentence == (
        "triton differs from trainer at prompt 2: its mean log-probability is -3 instead of -2 (bound 0.1)"
    )


def test_what_an_export_reads_otherwise_is_named_with_its_first_place() -> None:
    ours, theirs = {"chat 1": (1, 2), "chat 2": (3, 4)}, {"chat 1": (1, 2), "chat 2": (3, 5)}
    assert find_other_encodings(ours, ours) == ""
    assert find_other_encodings(ours, theirs) == "export reads chat 2 otherwise than trainer at token 2: 5 instead of 4"
