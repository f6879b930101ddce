from spack_repo.builtin.build_systems.cmake import CMakePackage

from spack.package import *


class Locmoe(CMakePackage):
    """Locality-aware Mixture-of-Experts routing and All-to-All plans, header-only C++20."""

    license("MIT")

    version("0.1.0")  # the checkout that this file stands in: spack dev-build, or spack develop

    variant("boost", default=False, description="Exact capacity bounds; with mpi, Boost.MPI backend")
    variant("dlpack", default=False, description="DLPack tensors")
    variant("eigen", default=False, description="Eigen matrices")
    variant("json", default=False, description="Cluster files")
    variant("mpi", default=False, description="MPI backend")
    variant("torch", default=False, description="LibTorch tensors and autograd")
    variant("xtensor", default=False, description="xtensor tensors")

    depends_on("cxx", type="build")
    depends_on("cmake@3.23:", type="build")
    depends_on("boost@1.74:", when="+boost")
    depends_on("boost@1.74:+mpi", when="+boost+mpi")
    depends_on("dlpack", when="+dlpack")
    depends_on("eigen@3.4:", when="+eigen")
    depends_on("nlohmann-json", when="+json")
    depends_on("mpi", when="+mpi")
    depends_on("py-torch", when="+torch")
    depends_on("xtensor", when="+xtensor")

    def cmake_args(self):
        args = [
            self.define("LOCMOE_BUILD_TESTS", False),
            self.define("LOCMOE_BUILD_EXAMPLES", False),
            self.define("LOCMOE_BUILD_BENCH", False),
        ]
        # What is not asked for is not looked for either, whatever else is installed.
        for variant_name, package in {
            "boost": "Boost",
            "dlpack": "dlpack",
            "eigen": "Eigen3",
            "json": "nlohmann_json",
            "mpi": "MPI",
            "torch": "Torch",
            "xtensor": "xtensor",
        }.items():
            wanted = self.spec.satisfies(f"+{variant_name}")
            args.append(self.define(f"CMAKE_DISABLE_FIND_PACKAGE_{package}", not wanted))
        return args
