"""Every code line in README and docs runs, on small files of the names that it uses."""

from pathlib import Path

import pytest
from documented import PAGES, ROOT, Services, blocks, check_config, commands, run, write_material

pytestmark = pytest.mark.usefixtures("small_halo_canvas")

README_LINES = 150


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page))], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_as_it_stands(
    page: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = write_material(tmp_path, page, tiny_model)
    monkeypatch.chdir(tmp_path)
    with Services() as services:
        for language, text in blocks(page):
            if language == "bash":
                for words in commands(text):
                    run(words, services)
            elif language == "python":
                exec(compile(services.here(text), page.name, "exec"), names)
            elif language == "yaml":
                check_config(text)
            else:
                assert language == "text", f"{page.name}: a block of {language}, which no test runs"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES
