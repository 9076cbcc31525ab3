"""Whether a sentence is one for an artist: short, and without the words of the libraries beneath."""

import re

FOREIGN = (
    r"torch|tensor|python|traceback|errno|assert|nonetype|object has no|object is not|dtype|safetensors format|pickle|"
    r"unpickl|state_dict|cuda|kornia|mat1|ndim|keyerror|len\("
)
MOST_LETTERS = 500


def is_plain(sentence: str) -> bool:
    """No word of torch, Python or safetensors (a file's name may end so), no control character, not too long."""
    words = re.sub(r"'[^']*'|\S*\.safetensors", "", sentence)
    plain = not re.search(FOREIGN, words, re.IGNORECASE)
    return plain and len(sentence) <= MOST_LETTERS and sentence.isprintable() and sentence.endswith(".")
