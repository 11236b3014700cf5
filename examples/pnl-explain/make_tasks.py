"""A book of calls, and the market of two days: prices move, volatility moves, a day passes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

n = 2_000
rng = np.random.default_rng(0)
spot, strike = rng.uniform(80, 120, n), rng.uniform(80, 120, n)
vol, years = rng.uniform(0.1, 0.4, n), rng.uniform(0.2, 2.0, n)
rate = np.full(n, 0.03)
next_spot, next_vol = spot * (1 + rng.normal(0, 0.02, n)), vol + rng.normal(0, 0.01, n)
today = np.stack([spot, vol, years, strike, rate], axis=1)
tomorrow = np.stack([next_spot, next_vol, years - 1 / 252, strike, rate], axis=1)

Path("tasks").mkdir(exist_ok=True)
book = {"id": range(n), "spot": spot, "strike": strike, "vol": vol, "years": years}
pq.write_table(pa.table(book), "tasks/book.parquet")
moves = {"id": range(n), "center": today.tolist(), "point": tomorrow.tolist(), "order": np.full(n, 4)}
pq.write_table(pa.table(moves), "tasks/moves.parquet")
