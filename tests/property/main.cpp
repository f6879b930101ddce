// Random cases of every law. LOCMOE_PROPERTY_CASES says how many of each (200 where it does not);
// RC_PARAMS takes RapidCheck's own settings, such as the seed that a failed run printed.
#include <cstdlib>
#include <string>

#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

int main(int argc, char** argv) {
    const char* const cases = std::getenv("LOCMOE_PROPERTY_CASES");
    const char* const own = std::getenv("RC_PARAMS");
    std::string settings = std::string("max_success=") + (cases != nullptr ? cases : "200");
    if (own != nullptr) settings += std::string(" ") + own;
    setenv("RC_PARAMS", settings.c_str(), 1);
    return Catch::Session().run(argc, argv);
}
