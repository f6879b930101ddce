#pragma once

// The one place that knows where Catch2 keeps its header: one file up to 2.x, several from 3.0 on.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
