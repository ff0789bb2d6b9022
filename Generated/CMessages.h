// Umbrella of what protoc-c made of Protos/: every message of the contract.
#pragma once
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "profiles/v1/admin.pb-c.h"
#include "profiles/v1/profiles.pb-c.h"
#include "profiles/v1/types.pb-c.h"
#include "descriptor_set.h"
