"""MLflow's filters mean here what they mean there: one table, asked of a real MLflow store and of a catalog."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from catalogdb import Catalog
from tests.unit.query.world import Filler, Row

pytestmark = [
    pytest.mark.skipif(find_spec("mlflow") is None, reason="the oracle is mlflow-skinny, of the development group"),
    pytest.mark.filterwarnings("ignore"),  # mlflow's own, of several kinds
]

NOON = 1_790_000_000_000
"""Milliseconds, as MLflow counts time: 2026-09-21T14:13:20Z."""
AT = ("2026-09-21T14:13:20+00:00", "2026-09-21T14:13:21+00:00", "2026-09-21T14:13:22+00:00")

RUNS: dict[str, dict[str, Any]] = {
    "alpha": {
        "start": 0,
        "metrics": {"accuracy": 0.72, "val/loss": 0.5, "f1 score": 0.4, "epochs": 3.0},
        "params": {"lr": "0.01", "model": "ResNet50", "opt/name": "adam", "amp": "True"},
        "tags": {"stage": "prod", "user name": "ada", "mlflow.source.name": "train.py"},
    },
    "beta": {
        "start": 1,
        "metrics": {"accuracy": 0.9, "val/loss": 0.25},
        "params": {"lr": "0.1", "model": "resnet18", "amp": "False"},
        "tags": {"stage": "Prod", "quote": "it's"},
    },
    "Gamma": {
        "start": 2,
        "metrics": {"accuracy": -0.1, "f1 score": 1e-9, "epochs": 10.0},
        "params": {"lr": "1e-05", "model": "vit_b"},
        "tags": {"user name": "Bob"},
    },
    "delta": {"start": 2, "metrics": {"val/loss": 2.0}, "params": {"model": "vit%b"}, "tags": {"stage": "staging"}},
    "empty": {"start": 0, "metrics": {}, "params": {}, "tags": {}},
}

FILTERS = [
    "",
    "metrics.accuracy > 0.72",
    "metrics.accuracy >= 0.72",
    "metrics.accuracy < 0.72",
    "metrics.accuracy <= 0.72",
    "metrics.accuracy = 0.72",
    "metrics.accuracy != 0.72",
    "metric.accuracy > 0",
    "metrics.accuracy > -0.5",
    "metrics.accuracy > 1e-3",
    "metrics.epochs = 3",
    "metrics.epochs >= 3.0",
    "metrics.`f1 score` > 0.1",
    'metrics."f1 score" > 0.1',
    "metrics.`val/loss` < 1",
    "metrics.`val/loss` < 1 and metrics.accuracy > 0.8",
    "metrics.accuracy > 0.5 AND metrics.accuracy < 0.8",
    "metrics.accuracy>0.5 AND metrics.accuracy<0.8",
    "params.lr = '0.01'",
    'params.lr = "0.01"',
    "params.lr = '1e-05'",
    "params.lr = '0.010'",
    "params.lr != '0.01'",
    "param.model = 'ResNet50'",
    "parameter.model = 'ResNet50'",
    "parameters.model = 'resnet50'",
    "params.`opt/name` = 'adam'",
    "params.model LIKE 'res%'",
    "params.model LIKE 'Res%'",
    "params.model ILIKE 'RES%'",
    "params.model like '%50'",
    "params.model LIKE 'vit_b'",
    "params.model LIKE '%it%b%'",
    "params.amp = 'True'",
    "params.amp = 'true'",
    "params.amp != 'True'",
    "params.lr LIKE '0.%'",
    "params.lr IS NULL",
    "params.lr IS NOT NULL",
    "tags.stage = 'prod'",
    "tag.stage = 'prod'",
    "tags.stage != 'prod'",
    "tags.stage LIKE 'prod'",
    "tags.stage ILIKE 'PROD'",
    "tags.stage ILIKE '%AG%'",
    "tags.`user name` = 'ada'",
    "tags.\"user name\" ilike 'B%'",
    "tags.mlflow.source.name = 'train.py'",
    "tags.`mlflow.source.name` LIKE '%.py'",
    'tags.quote = "it\'s"',
    "tags.stage IS NULL",
    "tags.stage IS NOT NULL AND params.lr IS NULL",
    "attributes.run_name = 'alpha'",
    "attribute.run_name = 'alpha'",
    "attr.run_name LIKE 'G%'",
    "run.run_name ILIKE 'g%'",
    "run_name = 'beta'",
    "run_name != 'beta'",
    "attributes.`Run name` = 'beta'",
    "run_id = 'id-beta'",
    "attributes.run_id IN ('id-alpha', 'id-delta')",
    "run_id IN ('id-alpha')",
    "attributes.run_id NOT IN ('id-alpha', 'id-delta')",
    "attributes.run_id != 'id-alpha'",
    f"attributes.start_time > {NOON}",
    f"start_time >= {NOON + 1000}",
    f"attributes.created = {NOON + 2000}",
    f"start_time < {NOON + 1000} AND metrics.accuracy > 0",
    "metrics.accuracy > 0.5 AND params.lr = '0.1' AND tags.stage LIKE 'P%' AND run_name = 'beta'",
]

ORDERS = [
    "metrics.accuracy",
    "metrics.accuracy ASC",
    "metrics.accuracy DESC",
    "metrics.`val/loss` desc",
    "params.model",
    "params.model DESC",
    "tags.stage",
    "attributes.run_name",
    "run_name DESC",
]

Ask = Callable[[str, list[str]], list[str]]


@pytest.fixture(scope="module")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    entities = import_module("mlflow.entities")  # 2 s, for these tests alone
    sqlalchemy_store = import_module("mlflow.store.tracking.sqlalchemy_store")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder = tmp_path_factory.mktemp("mlflow")
    store = sqlalchemy_store.SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder))
    experiment = store.create_experiment("all")
    names: dict[str, str] = {}
    for name, run in RUNS.items():
        made = store.create_run(experiment, "nobody", NOON + 1000 * run["start"], [], name)
        names[f"id-{name}"] = made.info.run_id
        store.log_batch(
            made.info.run_id,
            [entities.Metric(key, value, NOON, 0) for key, value in run["metrics"].items()],
            [entities.Param(key, value) for key, value in run["params"].items()],
            [entities.RunTag(key, value) for key, value in run["tags"].items()],
        )
    yield store, experiment, names
    store.engine.dispose()


@pytest.fixture(scope="module")
def theirs(mlflow_store: Any) -> Ask:
    active = import_module("mlflow.entities").ViewType.ACTIVE_ONLY
    store, experiment, names = mlflow_store

    def ask(text: str, order: list[str]) -> list[str]:
        for name, run_id in names.items():
            text = text.replace(f"'{name}'", f"'{run_id}'")
        found = store.search_runs([experiment], text, active, order_by=order)
        return [run.info.run_name for run in found]

    return ask


def as_trained(text: str) -> Any:
    """The typed value that MLflow keeps the text of."""
    for value in (True, False):
        if text == str(value):
            return value
    try:
        return float(text)
    except ValueError:
        return text


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    file = tmp_path_factory.mktemp("catalog") / "c.db"
    Catalog.open(file).close()
    raw = sqlite3.connect(file, isolation_level=None)
    Filler(raw).add(
        [
            Row(
                number,
                f"/data/{name}.ckpt",
                fields={"exp_name": name, "wandb_run_id": f"id-{name}", "created_at": AT[run["start"]]},
                metrics=run["metrics"],
                params={key: as_trained(text) for key, text in run["params"].items()},
                tags=run["tags"],
            )
            for number, (name, run) in enumerate(RUNS.items(), 1)
        ]
    )
    raw.close()
    with Catalog.open(file) as catalog:
        yield lambda text, order: [str(row.exp_name) for row in catalog.search(text, order_by=order)]


@pytest.mark.parametrize("text", FILTERS)
def test_a_filter_means_the_same(ours: Ask, theirs: Ask, text: str) -> None:
    assert sorted(ours(text, [])) == sorted(theirs(text, []))


@pytest.mark.parametrize("order", ORDERS)
def test_an_ordering_means_the_same(ours: Ask, theirs: Ask, order: str) -> None:
    """Of the runs that have a value: what has none is last here, and somewhere else there."""
    name = order.split(" ")[0] if "`" not in order else order.rpartition("`")[0] + "`"
    known = {run for run in RUNS if run in ours(f"{name} IS NOT NULL", [])}
    mine, other = ([run for run in ask("", [order]) if run in known] for ask in (ours, theirs))
    assert mine == other
    assert len(known) >= 3


def test_the_table_tells_filters_apart(ours: Ask) -> None:
    answers = [tuple(ours(text, [])) for text in FILTERS]
    assert len(set(answers)) >= 15
    assert sum(1 for answer in answers if 0 < len(answer) < len(RUNS)) >= 40
