"""Two years of daily returns of 200 instruments on three factors, shuffled over four files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

instruments, days = 200, 504
rng = np.random.default_rng(0)
factors = rng.normal(0, 0.01, (days, 3))
betas = rng.normal([1.0, 0.2, -0.1], 0.3, (instruments, 3))
returns = betas @ factors.T + rng.normal(0, 0.005, (instruments, days))
instrument, day = (index.ravel() for index in np.indices((instruments, days)))
order = rng.permutation(len(day))
table = pa.table(
    {
        "instrument": np.char.add("I", instrument[order].astype(str)),
        "market": factors[day[order], 0],
        "size": factors[day[order], 1],
        "value": factors[day[order], 2],
        "return": returns.ravel()[order],
    }
)
Path("tasks").mkdir(exist_ok=True)
for number, start in enumerate(range(0, len(table), len(table) // 4)):
    pq.write_table(table.slice(start, len(table) // 4), f"tasks/{number}.parquet")
np.save("tasks/true_betas.npy", betas)
