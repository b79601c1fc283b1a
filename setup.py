"""What pyproject.toml cannot say: the folder `configs/` goes into the wheel as `waferroute/configs/`."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Packages, and the ready-made configurations beside them."""

    def run(self) -> None:
        """Build, then copy the configurations."""
        super().run()
        if self.editable_mode:
            return  # there the program reads the folder itself
        target = Path(self.build_lib) / "waferroute" / "configs"
        self.mkpath(str(target))
        for source in sorted(Path("configs").glob("*.yaml")):
            self.copy_file(str(source), str(target / source.name))


setup(cmdclass={"build_py": BuildWithConfigs})
