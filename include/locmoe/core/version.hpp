#pragma once

/// The version of these headers, by parts and as one number to compare with: 10,000 for each major,
/// 100 for each minor version.
///
/// Everything stands in the inline namespace `locmoe::v0`, so that two versions in one program are
/// two sets of names, and objects compiled with different ones do not link where they would share a
/// type. v0 becomes v1, and so on, with each release that changes what compiled code relies on (a
/// class's layout, a function's signature or meaning): those are major releases, or minor ones
/// while the major version is 0. Patch releases keep it. Write `locmoe::`, never the version.
#define LOCMOE_VERSION_MAJOR 0
#define LOCMOE_VERSION_MINOR 1
#define LOCMOE_VERSION_PATCH 0
#define LOCMOE_VERSION \
    (LOCMOE_VERSION_MAJOR * 10000 + LOCMOE_VERSION_MINOR * 100 + LOCMOE_VERSION_PATCH)
