from ropewalk.checkpoint_manager.domain.parity import (
    FIXED_PROMPTS,
    NUM_PROMPTS,
    Completion,
    find_differences,
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
