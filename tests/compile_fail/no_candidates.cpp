// error: locmoe: candidates holds no strategy to choose
#include "locmoe/plan/choose.hpp"

#ifdef CORRECTED
const locmoe::candidates from{locmoe::direct{}};
#else
const locmoe::candidates<> from{};
#endif
