//! From what is known to what each page shows. Nothing here reads or waits.

mod deployment;
mod environment;
mod holds;
mod logs;
mod metrics;
mod models;
mod reference;
mod scaling;

pub use deployment::{deployment_page, example, replica_row};
pub use environment::{Counts, environment_page, sample_permit};
pub use holds::holds;
pub use logs::log_row;
pub use metrics::metric_lines;
pub use models::{model_page, model_row, models_headline};
pub use reference::reference_page;
pub use scaling::scaling_page;
