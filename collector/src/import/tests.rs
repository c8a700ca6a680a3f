//! What requests an import makes.

use prost::Message;
use proto::generated::prometheus_v1_placeholder as v1;
