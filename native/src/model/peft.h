// peft's folder: adapter_config.json + adapter_model.safetensors, and our optimizer.safetensors.
// Reading and writing again keeps keys, order, shapes, metadata and the configuration's bytes.
// Values keep their stored type while untrained (the bytes are then identical); once an optimiser
// step has changed them they are written as F32, because rounding would lose small updates.
#pragma once
#include <string>

#include "model/adapter.h"

namespace hindsight {

/// @throws Failure ADAPTER_MISSING, ADAPTER_INVALID, ADAPTER_UNSUPPORTED, ADAPTER_OTHER_BASE
Adapter readPeft(const std::string& dir, const ModelConfig& config);
/// Restores AdamW's moments and step where the folder has them.
void readOptimizer(const std::string& dir, Adapter& adapter);
void writePeft(const std::string& dir, const Adapter& adapter, bool withOptimizer);

}  // namespace hindsight
