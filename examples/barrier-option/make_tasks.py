"""Three hundred positions, with barriers from far below the spot to close below it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

n = 300
rng = np.random.default_rng(0)
spot = rng.uniform(80, 120, n)
columns = {
    "spot": spot,
    "strike": rng.uniform(80, 120, n),
    "barrier": rng.uniform(60, 79, n),
    "vol": rng.uniform(0.15, 0.4, n),
    "years": rng.uniform(0.25, 2, n),
}
Path("tasks").mkdir(exist_ok=True)
pq.write_table(pa.table({"id": range(n), **columns}), "tasks/positions.parquet")
