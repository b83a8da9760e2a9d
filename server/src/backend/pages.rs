//! From what is known to what each page shows. Nothing here reads or waits.

mod deployment;
mod environment;
mod holds;
mod models;

pub use deployment::{deployment_page, log_rows};
pub use environment::{Counts, environment_page};
pub use holds::holds;
pub use models::{model_page, model_row, models_headline};
