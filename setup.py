"""What pyproject.toml cannot say: the configurations of `config/` are shipped as data of the package."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["linconv*"]), "linconv.examples"],
    package_dir={"linconv.examples": "config"},
)
