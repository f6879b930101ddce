#pragma once

#include "locmoe.hpp"

std::vector<locmoe::exchange_plan> plans_of(const locmoe::topology& nodes);
