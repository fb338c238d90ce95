//! Whole stories across rooms: the demo, and what end-to-end tests share.
//!
//! [`world::World`] is a factory, its cloud and its customer on one machine, over real TLS and real MQTT;
//! [`story`] is what happens there.

pub mod browser;
pub mod canary;
pub mod chromium;
pub mod clients;
pub mod fault;
pub mod floor;
pub mod load;
pub mod network;
pub mod page;
pub mod programs;
pub mod proxy;
pub mod sky;
pub mod softhsm;
pub mod story;
pub mod tools;
pub mod wire;
pub mod world;
