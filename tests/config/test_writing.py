"""A written config reads back unchanged."""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from charnn.config.keys import Config
from charnn.config.loading import Override, load_config, parse_config_json
from charnn.config.writing import commented_yaml
from tests.helpers.configs import KEYS, read


def test_the_printed_config_reads_back_as_the_defaults_and_explains_every_key() -> None:
    text = commented_yaml()
    assert read(text) == Config()
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    assert len(lines) == len(KEYS)
    assert all(re.fullmatch(r"  [a-z_0-9]+: .+# .+", line) for line in lines)


# A path must not contain a null character.
PATHS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data.path": PATHS | st.lists(PATHS, max_size=3),
            "data.val_fraction": st.floats(0, 0.5),
            "data.normalize_newlines": st.booleans(),
            "model.hidden_size": st.integers(1, 10**12),
            "model.init": st.sampled_from(["uniform", "identity", "normal(0.01)", "normal(1e-3)"]),
            "training.seq_length": st.just("full") | st.integers(1, 999),
            "training.learning_rate": st.floats(5e-324, 1e308),
            "training.time_limit": st.none() | st.floats(1e-3, 1e9),
            "training.clip_norm": st.none() | st.floats(1e-3, 1e3),
            "training.seed": st.none() | st.integers(0, 2**63 - 1),
            "output.checkpoint": PATHS.map(lambda name: f"{name}/a.npz"),
        },
    )
)
def test_a_config_reads_back_from_its_yaml_and_from_its_json(values: dict[str, Any]) -> None:
    config = load_config(None, {key: Override(value, "x") for key, value in values.items()})
    assert read(commented_yaml(config)) == config
    assert parse_config_json(config.model_dump_json()) == config
