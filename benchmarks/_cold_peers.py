"""What a JAX user would write instead of each job of jobs/, as scripts that read the same Parquet and write the same.

Least squares by ``jnp.linalg.lstsq``; the standard errors by the pseudo-inverse, so that they are right for any rank;
p values by the incomplete beta function. Datasets that differ in shape are padded with zeros to the largest, and fitted
by one program, vmapped: a column of zeros has the coefficient 0 and no part in the rank.
"""

FIT = """
import glob
import jax, jax.numpy as jnp, numpy as np, pyarrow as pa, pyarrow.parquet as pq

jax.config.update("jax_enable_x64", True)

def inference(A, y, n, coefficients, rank, rcond):
    loss = jnp.sum((y - A @ coefficients) ** 2)
    dof = n - rank
    errors = jnp.sqrt(loss / dof * jnp.sum(jnp.linalg.pinv(A, rtol=rcond) ** 2, axis=1))
    t = coefficients / errors
    p = jax.scipy.special.betainc(dof / 2, 0.5, dof / (dof + t * t))
    return coefficients, errors, t, p, loss / n

def fit(A, y, n, rcond):
    coefficients, _, rank, _ = jnp.linalg.lstsq(A, y, rcond=rcond)
    return inference(A, y, n, coefficients, rank, rcond)

NAMES = "coefficients", "standard_errors", "t_values", "p_values", "loss"
"""

CLOSED_FORM = (
    FIT
    + """
table = pq.read_table("tasks/notebook.parquet").combine_chunks()
x1, x2, y = (table[name].chunk(0).flatten().to_numpy().astype(float) for name in ("x1", "x2", "y"))
A = np.column_stack([np.ones(len(y)), x1, x2])
rcond = 8 * A.shape[1] * np.finfo(np.float32).eps  # as coarse as the data are stored
found = jax.jit(fit)(A, y, len(y), rcond)
for name, values in zip(NAMES, found):
    table = table.append_column(name, pa.array([np.asarray(values).tolist()]))
pq.write_table(table, "theirs.parquet")
"""
)

PADDED = (
    FIT
    + """
tables = [pq.read_table(path) for path in sorted(glob.glob("tasks/regression/*.parquet"))]
table = pa.concat_tables(tables)
datasets = [(np.array(X), np.array(y)) for X, y in zip(table["X"].to_pylist(), table["y"].to_pylist())]
n = np.array([len(y) for _, y in datasets])
p = np.array([1 + X.shape[1] for X, _ in datasets])
A, targets = np.zeros((len(n), n.max(), p.max())), np.zeros((len(n), n.max()))
for number, (X, y) in enumerate(datasets):
    A[number, : n[number], 0] = 1.0
    A[number, : n[number], 1 : p[number]] = X
    targets[number, : n[number]] = y
found = jax.jit(jax.vmap(fit, in_axes=(0, 0, 0, None)))(A, targets, n, 1e-14)
*lists, loss = map(np.asarray, found)
for name, rows in zip(NAMES, lists):
    table = table.append_column(name, pa.array([row[:k].tolist() for row, k in zip(rows, p)]))
pq.write_table(table.append_column("loss", pa.array(loss)), "theirs.parquet")
"""
)

PER_SITE = (
    FIT
    + """
tables = [pq.read_table(path) for path in sorted(glob.glob("tasks/observations/*.parquet"))]
table = pa.concat_tables(tables)
sites, group, n = np.unique(table["site"].to_numpy(), return_inverse=True, return_counts=True)
order = np.argsort(group, kind="stable")
place = np.arange(len(order)) - np.repeat(np.cumsum(n) - n, n)
A, targets = np.zeros((len(n), n.max(), 3)), np.zeros((len(n), n.max()))
A[group[order], place, 0] = 1.0
for column, name in enumerate(("rain", "sun"), 1):
    A[group[order], place, column] = table[name].to_numpy()[order]
targets[group[order], place] = table["growth"].to_numpy()[order]
found = jax.jit(jax.vmap(fit, in_axes=(0, 0, 0, None)))(A, targets, n, 1e-14)
columns = {name: pa.array(list(np.asarray(values))) for name, values in zip(NAMES, found)}
pq.write_table(pa.table({"site": sites, **columns}), "theirs.parquet")
"""
)

DESCENT = (
    FIT
    + """
table = pq.read_table("tasks/notebook.parquet").combine_chunks()
x1, x2, y = (table[name].chunk(0).flatten().to_numpy() for name in ("x1", "x2", "y"))
A = np.column_stack([np.ones(len(y), np.float32), x1, x2])
initial = np.array([-0.3794819712638855, -1.419424295425415, 0.226063072681427], np.float32)

def descend(A, y, initial, rcond):
    def step(state):
        coefficients, steps, counted = state
        residuals = A @ coefficients - y
        following = coefficients - jnp.float32(0.005) * (2 / len(y) * (A.T @ residuals)).astype(jnp.float32)
        moved = jnp.linalg.norm(following - coefficients)
        counted = jnp.where(moved < 1e-27, counted + 1, jnp.where(moved > 1e-5, 0, counted))
        return following, steps + 1, counted

    going = lambda state: (state[1] < 100_000) & (state[2] < 10)
    coefficients, steps, _ = jax.lax.while_loop(going, step, (initial, 0, 0))
    rank = jnp.linalg.matrix_rank(A, rtol=rcond)
    return *inference(A, y, len(y), coefficients, rank, rcond), steps

rcond = np.float32(8 * A.shape[1] * np.finfo(np.float32).eps)
*found, steps = jax.jit(descend)(A, y, initial, rcond)
for name, values in zip(NAMES, found):
    table = table.append_column(name, pa.array([np.asarray(values).tolist()]))
pq.write_table(table.append_column("steps", pa.array([int(steps)])), "theirs.parquet")
"""
)

TAYLOR = """
import jax, jax.numpy as jnp, numpy as np, pyarrow as pa, pyarrow.parquet as pq
from jax.experimental.jet import jet

jax.config.update("jax_enable_x64", True)
table = pq.read_table("tasks/sqrt-taylor.parquet")
center, point, order = (table[name].to_numpy() for name in ("center", "point", "order"))
highest = int(order.max())
powers = np.arange(highest + 1)

def expand(center, point):
    value, derivatives = jet(jnp.sqrt, (center,), ([1.0, *[0.0] * (highest - 1)],), factorial_scaled=False)
    coefficients = jnp.stack([value, *derivatives])
    approximations = jnp.cumsum(coefficients * (point - center) ** powers)
    true_value = jnp.sqrt(point)
    return coefficients, approximations, true_value - approximations, true_value

*lists, true_value = map(np.asarray, jax.jit(jax.vmap(expand))(center, point))
for name, rows in zip(("coefficients", "approximations", "errors"), lists):
    table = table.append_column(name, pa.array([row[: k + 1].tolist() for row, k in zip(rows, order)]))
pq.write_table(table.append_column("true_value", pa.array(true_value)), "theirs.parquet")
"""
