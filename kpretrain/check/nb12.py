"""The checks of notebook 12."""

from .judge import exercise, returned, wrong_if


@exercise
def align_all(function):
    """Notebook 12: `function(word_ids, tags)` gives a tag to each token of words that fall into several pieces."""
    word_ids = [None, 0, 0, 1, 2, 2, 2, 3, 4, None, None]
    tags = ["B-NAME", "B-NAME", "B-TYPE", "I-TYPE", "O"]
    said = _listed(function, word_ids, tags, changed="word_ids has changed. Make a new list.")
    problem = f"there are {len(word_ids)} tokens, and you return {len(said)} tags: one is wanted for each token."
    wrong_if(len(said) != len(word_ids), problem)
    right = [None, "B-NAME", "I-NAME", "B-NAME", "B-TYPE", "I-TYPE", "I-TYPE", "I-TYPE", "O", None, None]
    first_only = [
        tag if word not in word_ids[:k] else None for k, (word, tag) in enumerate(zip(word_ids, right, strict=True))
    ]
    problem = "only first pieces have a tag. Here every piece of a word gets one, I- after the first."
    wrong_if(said == first_only, problem)
    copied = [None if word is None else tags[word] for word in word_ids]
    problem = "each piece has its word's tag, so that a word of three pieces begins three entities. Turn B- into I-."
    wrong_if(said == copied, problem)
    outside = ["O" if tag is None else tag for tag in right]
    wrong_if(said == outside, "tokens that come from no word get None, not O.")
    _compare(said, right, "token")
    said = _listed(function, [None, 0, 0, 1, 1, None], ["O", "I-TYPE"])
    problem = "a word that is O stays O in all of its pieces."
    wrong_if(len(said) == 6 and said[1:3] != ["O", "O"], problem)
    _compare(said, [None, "O", "O", "I-TYPE", "I-TYPE", None], "token")


@exercise
def legal(function):
    """Notebook 12: `function(tags)` turns each I- that continues nothing into a B-."""
    tags = ["I-TYPE", "I-TYPE", "O", "I-NAME", "B-TYPE", "I-TYPE", "I-NAME", "I-NAME", "B-NAME", "B-NAME", "O"]
    said = _listed(function, tags, changed="the list that was given has changed. Make a new one.")
    wrong_if(len(said) != len(tags), f"there are {len(tags)} tags, and you return {len(said)}.")
    right = list(tags)
    right[0], right[3], right[6] = "B-TYPE", "B-NAME", "B-NAME"
    wrong = {
        "nothing has changed. An I- at the start, for one, must become a B-.": tags,
        "every I- has become a B-. Those that go on within an entity must stay.": [t.replace("I-", "B-") for t in tags],
        "an I- after an entity of another type also begins a new one.": [*right[:6], "I-NAME", *right[7:]],
        "an I- at the start of a line begins an entity, too.": ["I-TYPE", *right[1:]],
        "such an I- becomes a B-, not O: the word belongs to an entity.": [
            "O" if tag != old else old for tag, old in zip(right, tags, strict=True)
        ],
    }
    for problem, value in wrong.items():
        wrong_if(said == value, problem)
    _compare(said, right, "tag")


def _listed(function, *inputs, changed=None):
    """The list that a function returns for copies of the inputs."""
    answer = returned(function, *inputs, kind="a list of tags", changed=changed)
    no_list = isinstance(answer, str | dict) or not hasattr(answer, "__iter__")
    wrong_if(no_list, "it returns no list. It should be a list of tags.")
    return list(answer)


def _compare(said, right, what):
    """Tell the first place at which two lists differ."""
    for k, (one, other) in enumerate(zip(said, right, strict=False)):
        wrong_if(one != other, f"{what} number {k} should be {other}, and you have {one}.")
    wrong_if(len(said) != len(right), f"{len(right)} tags are wanted, you return {len(said)}.")
