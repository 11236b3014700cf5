"""A thousand parameter sets around the textbook's."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

n = 1_000
rng = np.random.default_rng(0)
textbook = {"birth": 1.1, "death": 0.4, "hunt": 0.4, "gain": 0.1}
columns = {name: value * rng.uniform(0.9, 1.1, n) for name, value in textbook.items()}
Path("tasks").mkdir(exist_ok=True)
pq.write_table(pa.table({"id": range(n), **columns}), "tasks/parameters.parquet")
