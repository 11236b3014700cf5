"""Prices of calls of known volatility, and one that no volatility explains."""

from math import erf
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

n = 1_000
rng = np.random.default_rng(0)
spot, strike = np.full(n, 100.0), rng.uniform(80, 120, n)
years, vol = rng.uniform(0.2, 2.0, n), rng.uniform(0.1, 0.5, n)
below = np.vectorize(lambda x: (1 + erf(x / 2**0.5)) / 2)
spread = vol * np.sqrt(years)
d1 = np.log(spot / strike) / spread + spread / 2
price = spot * below(d1) - strike * below(d1 - spread)
price[-1] = 101.0  # more than the spot

Path("tasks").mkdir(exist_ok=True)
columns = {"id": range(n), "spot": spot, "strike": strike, "years": years, "price": price, "true_vol": vol}
pq.write_table(pa.table(columns), "tasks/prices.parquet")
