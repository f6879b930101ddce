import os

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy
from conan.tools.layout import basic_layout

# Option: (what it requires, the target that the adapter links).
ADAPTERS = {
    "cluster_file": ("nlohmann_json/[>=3.11]", "nlohmann_json::nlohmann_json"),
    "dlpack": ("dlpack/[>=0.6]", "dlpack::dlpack"),
    "eigen": ("eigen/[>=3.4]", "eigen::eigen"),
    "exact_capacity": ("boost/[>=1.74]", "boost::headers"),
    "xtensor": ("xtensor/[>=0.24]", "xtensor::xtensor"),
}


class LocmoeConan(ConanFile):
    """All headers. locmoe::locmoe has the core and what options ask for; locmoe::core, locmoe::eigen
    and so on are its parts. MPI, Boost.MPI and LibTorch are the system's: link them beside it."""

    name = "locmoe"
    version = "0.1.0"
    description = "Locality-aware Mixture-of-Experts routing and All-to-All plans"
    license = "MIT"
    topics = ("mixture-of-experts", "all-to-all", "mpi", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {adapter: [True, False] for adapter in ADAPTERS}
    default_options = {adapter: False for adapter in ADAPTERS}
    no_copy_source = True

    def export_sources(self):
        checkout = os.path.join(self.recipe_folder, "..", "..", "..")
        copy(self, "LICENSE", checkout, self.export_sources_folder)
        copy(self, "include/*.hpp", checkout, self.export_sources_folder)

    def layout(self):
        basic_layout(self)

    def validate(self):
        check_min_cppstd(self, 20)

    def requirements(self):
        for adapter, (package, _) in ADAPTERS.items():
            if self.options.get_safe(adapter):
                self.requires(package)

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "include/*.hpp", self.source_folder, self.package_folder)

    def package_id(self):
        self.info.settings.clear()

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "locmoe")
        self.cpp_info.set_property("cmake_target_name", "locmoe::locmoe")
        self.cpp_info.set_property("pkg_config_name", "locmoe")
        parts = {"core": []}
        for adapter, (_, target) in ADAPTERS.items():
            if self.options.get_safe(adapter):
                parts[adapter] = ["core", target]
        for part, required in parts.items():
            component = self.cpp_info.components[part]
            component.set_property("cmake_target_name", f"locmoe::{part}")
            component.bindirs = []
            component.libdirs = []
            component.requires = required
