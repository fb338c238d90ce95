//! The cloud in a box: DPS and IoT Hub on one machine, for a laptop, a fair and CI.
