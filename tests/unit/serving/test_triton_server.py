import pytest

from ropewalk.serving.adapters.triton_server import require_shared_python
from ropewalk.serving.errors import ServingError


def test_a_python_without_shared_library_is_refused_with_the_remedy(tmp_path) -> None:
    with pytest.raises(ServingError, match=r"libpython9\.99\.so\.1\.0.*apt-get install libpython9\.99"):
        require_shared_python("libpython9.99.so.1.0", [tmp_path])


def test_a_library_beside_the_interpreter_suffices_as_long_as_it_is_there(tmp_path) -> None:
    library = tmp_path / "libpython9.99.so.1.0"
    library.touch()
    require_shared_python(library.name, [tmp_path / "none", tmp_path])
    library.unlink()
    with pytest.raises(ServingError, match=library.name):
        require_shared_python(library.name, [tmp_path / "none", tmp_path])
