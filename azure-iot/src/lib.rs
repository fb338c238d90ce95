//! The language of Azure DPS and IoT Hub: values in, values out.
//!
//! Client and emulator speak through these types, so they cannot disagree about a name.
//! Nothing here opens a socket or reads a clock (law 1): requests and answers are values, time is an argument.
//!
//! The wire format is that of the DPS service API 2021-10-01, the device API 2019-03-31 and later, and IoT Hub's MQTT
//! API 2021-04-12.

pub mod bulk;
mod connection_string;
pub mod dps_topics;
pub mod enrollment;
mod error_body;
pub mod hub_topics;
mod ids;
pub mod properties;
pub mod register;
pub mod registration;
pub mod sas;
pub mod twin;

pub use crate::{
    connection_string::{ConnectionString, InvalidConnectionString},
    error_body::ErrorBody,
    ids::{DeviceId, IdScope, InvalidId, OperationId, RegistrationId},
};
