"""The engines by name."""

from wtal.errors import ConfigError
from wtal.extract.engine import run_jobs
from wtal.extract.folder import Engine


def choose_engine(name: str) -> Engine:
    """`local` or `ray`. Raises ConfigError for another, and where Ray is not installed."""
    if name == "local":
        return run_jobs
    if name == "ray":
        from wtal.extract.ray_engine import run_on_ray

        return run_on_ray
    raise ConfigError(f"there is no engine {name!r}; use local or ray")
