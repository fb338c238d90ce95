//! The cloud in a box: Azure DPS and IoT Hub on one machine, for a laptop, a fair and CI.
//!
//! [`cloud::Cloud`] is a value: a request and the time go in, an answer comes out, and nothing else happens.
//! Everything around it is its shell: [`Emulator`] binds an HTTPS and an MQTT listener behind a door that can play
//! bad weather, and a loopback page to look and to act.
//!
//! What it does and does not do is listed in this folder's README.

mod admin;
pub mod cloud;
mod door;
mod emulator;
mod https;
mod mqtt;
mod pki;
mod state_dir;
mod weather;

pub use crate::{
    emulator::{Control, Emulator, Options, StartError},
    weather::{Fate, Forecast, Weather},
};
