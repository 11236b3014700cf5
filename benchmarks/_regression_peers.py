"""Least squares by other libraries, as scripts: each reads every file of ``tasks``, fits, and writes the coefficients.

Words in capitals are filled in: FEATURES and BY with lists of names, FIT with one of the three fits of a dataset.
"""

NUMPY = """
import glob, numpy as np, pyarrow as pa, pyarrow.parquet as pq
found = []
for path in sorted(glob.glob("tasks/*.parquet")):
    table = pq.read_table(path).combine_chunks()
    X, y = table["X"].chunk(0), table["y"].chunk(0)
    ends = X.offsets.to_numpy() - X.offsets[0].as_py()
    rows = X.flatten().flatten().to_numpy().reshape(ends[-1], -1)
    targets = y.flatten().to_numpy()
    for start, stop in zip(ends[:-1], ends[1:]):
        A = np.column_stack([np.ones(stop - start), rows[start:stop]])
        FIT
pq.write_table(pa.table({"coefficients": list(np.array(found))}), "other.parquet")
"""
LSTSQ = "found.append(np.linalg.lstsq(A, targets[start:stop], rcond=None)[0])"
SKLEARN = """from sklearn.linear_model import LinearRegression
        fitted = LinearRegression().fit(A[:, 1:], targets[start:stop])
        found.append([fitted.intercept_, *fitted.coef_])"""
STATSMODELS = """import statsmodels.api as sm
        found.append(sm.OLS(targets[start:stop], A).fit().params)"""

POLARS = """
import numpy as np, polars as pl
features, by = FEATURES, BY
columns = ["one", *features, "y"]
sums = [
    (pl.col(a) * pl.col(b)).sum().alias(f"{i},{j}")
    for i, a in enumerate(columns) for j, b in enumerate(columns) if i <= j
]
frame = pl.scan_parquet("tasks/*.parquet").with_columns(one=pl.lit(1.0))
grouped = frame.group_by(by).agg(sums) if by else frame.select(sums)
table = grouped.collect(engine="streaming")
k = len(columns)
G = np.empty((len(table), k, k))
for i in range(k):
    for j in range(i, k):
        G[:, i, j] = G[:, j, i] = table[f"{i},{j}"].to_numpy()
found = np.linalg.solve(G[:, :-1, :-1], G[:, :-1, -1:])[..., 0]
pl.DataFrame({**{name: table[name] for name in by}, "coefficients": found}).write_parquet("other.parquet")
"""

POLARS_OLS = """
import polars as pl, polars_ols
table = pl.scan_parquet("tasks/*.parquet").group_by("group").agg(
    pl.col("y").least_squares.ols(*FEATURES, add_intercept=True, mode="coefficients").first().alias("coefficients")
)
table.collect().write_parquet("other.parquet")
"""

DUCKDB = """
import duckdb, numpy as np
columns = ["1.0", *FEATURES, "y"]
k = len(columns)
pairs = [(i, j) for i in range(k) for j in range(i, k)]
sums = ", ".join(f"sum({columns[i]} * {columns[j]}) AS s{i}_{j}" for i, j in pairs)
table = duckdb.sql(f'SELECT "group", {sums} FROM read_parquet(\\'tasks/*.parquet\\') GROUP BY "group"').fetchnumpy()
G = np.empty((len(table["group"]), k, k))
for i, j in pairs:
    G[:, i, j] = G[:, j, i] = table[f"s{i}_{j}"]
found = np.linalg.solve(G[:, :-1, :-1], G[:, :-1, -1:])[..., 0]
import pyarrow as pa, pyarrow.parquet as pq
pq.write_table(pa.table({"group": table["group"], "coefficients": list(found)}), "other.parquet")
"""

SKLEARN_BIG = """
import numpy as np, pyarrow.parquet as pq
from sklearn.linear_model import LinearRegression
table = pq.read_table("tasks")
X = np.column_stack([table[name].to_numpy() for name in FEATURES])
fitted = LinearRegression(copy_X=False).fit(X, table["y"].to_numpy())
print(fitted.coef_)
"""
