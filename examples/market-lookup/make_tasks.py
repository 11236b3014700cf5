"""A book of calls, some of which have expired, and the market: a row for each ticker but one, and one for each rate."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

n, tickers = 5_000, [f"SHARE{number}" for number in range(40)]
rng = np.random.default_rng(0)
ticker = rng.integers(0, len(tickers), n)
book = {
    "id": range(n),
    "ticker": pa.array(tickers).take(pa.array(ticker)),
    "currency": pa.array(["EUR", "USD", "GBP"]).take(pa.array(ticker % 3)),
    "desk": pa.array(["equity", "index", "rates"]).take(pa.array(rng.integers(0, 3, n))),
    "quantity": rng.integers(-100, 100, n),
    "strike": rng.uniform(80, 120, n),
    "years": rng.uniform(-0.2, 2.0, n),
}
market = {"symbol": tickers[:-1], "spot": rng.uniform(80, 120, 39), "implied": rng.uniform(0.1, 0.4, 39)}

Path("tasks").mkdir(exist_ok=True)
pq.write_table(pa.table(book), "tasks/positions.parquet", row_group_size=1_000)
pq.write_table(pa.table(market), "tasks/market.parquet")
pq.write_table(pa.table({"currency": ["USD", "EUR", "GBP"], "rate": [0.04, 0.02, 0.045]}), "tasks/rates.parquet")
