//! The language of Azure DPS and IoT Hub: values in, values out.
