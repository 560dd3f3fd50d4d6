// Reads the keys of a Hugging Face config.json, or of the `model` section of our YAML (the same keys), into a ModelConfig.
#pragma once

#include <cstdint>

#include "config/map_reader.h"
#include "config/model_config.h"

namespace lockstep {

// Whether keys that do not belong are refused (our YAML) or, where they cannot change the result, ignored (a checkpoint's own).
enum class UnknownKeys { kRefuse, kIgnore };

// Everything but the paths. max_model_len: as for load_model_config(). Throws Error naming file, line, key, value, what is
// allowed.
ModelConfig read_model(MapReader& keys, UnknownKeys unknown, int64_t max_model_len);

// The rotary embedding: `rope_theta` with `rope_scaling`, or `rope_parameters`.
RopeConfig read_rope(MapReader& keys, UnknownKeys unknown);

}  // namespace lockstep
