//! What is wrong with a Truss, and what of it has no meaning without containers.
//!
//! Every sentence names the field, its value and what to do.

mod fields;

use std::path::Path;

use serde_json::json;

use crate::config::{Config, Serves};

/// What becomes of settings that only a container image could honour (`base_image`, `system_packages`, …).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DockerOnly {
    /// The Truss runs without them; warnings say what that means.
    #[default]
    Warn,
    /// The Truss is refused.
    Refuse,
}

/// The outcome: a Truss with errors can't run here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validation {
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

impl Validation {
    pub fn is_success(&self) -> bool {
        self.errors.is_empty()
    }

    /// `{"errors": […], "warnings": […]}` as JSON text, as the command line reads it.
    pub fn to_details_json(&self) -> String {
        json!({"errors": self.errors, "warnings": self.warnings}).to_string()
    }

    fn error(&mut self, text: String) {
        self.errors.push(text);
    }

    fn warning(&mut self, text: String) {
        self.warnings.push(text);
    }
}

/// Checks a configuration; settings for containers give warnings.
pub fn validate(config: &Config) -> Validation {
    validate_with(config, DockerOnly::Warn)
}

/// Checks a configuration.
pub fn validate_with(config: &Config, docker_only: DockerOnly) -> Validation {
    let mut found = Validation::default();
    fields::python(config, &mut found);
    fields::requirements(config, &mut found);
    fields::environment(config, &mut found);
    fields::paths(config, &mut found);
    fields::custom_server(config, &mut found);
    fields::resources(config, &mut found);
    fields::runtime(config, &mut found);
    fields::vendor_only(config, &mut found);
    let ignored = fields::docker_only(config);
    match docker_only {
        DockerOnly::Warn => found.warnings.extend(ignored),
        DockerOnly::Refuse => found.errors.extend(ignored),
    }
    found
}

/// Checks that the Python a Truss names is among those `found` on this machine (`3.11`, `3.12`, …).
///
/// A Truss that names none asks for the format's default: the sentence says which line to write.
pub fn validate_python(config: &Config, found: &[String]) -> Validation {
    let mut validation = Validation::default();
    if let Some(wanted) = config.python().filter(|wanted| !found.contains(wanted)) {
        let named = &config.python_version;
        validation.error(match found.first() {
            Some(first) => format!(
                "`python_version: {named}` (the default is py313) needs Python {wanted}, which is not on this machine; found: \
                 {}; write `python_version: py{}` or install Python {wanted}",
                found.join(", "),
                first.replace('.', "")
            ),
            None => format!(
                "`python_version: {named}` (the default is py313) needs Python {wanted}, and no Python that a Truss can use \
                 is on this machine; install it"
            ),
        });
    }
    validation
}

/// Checks that the files a configuration names are in the unpacked Truss.
pub fn validate_files(config: &Config, truss: &Path) -> Validation {
    let mut found = Validation::default();
    if let Serves::TrussServer = config.serves() {
        let (folder, file) = (&config.model_module_dir, &config.model_class_filename);
        if !truss.join(folder).join(file).is_file() {
            found.error(format!(
                "`{folder}/{file}` is missing: it must hold the class `{}`; add it, or correct `model_module_dir` and \
                 `model_class_filename`",
                config.model_class_name
            ));
        }
    }
    if let Some(file) = &config.requirements_file {
        let path = truss.join(file);
        if !path.is_file() {
            found.error(format!(
                "`requirements_file: {file}` is not in the Truss; add the file or correct the name"
            ));
        } else if file.ends_with("uv.lock") && !path.with_file_name("pyproject.toml").is_file() {
            found.error(format!("`requirements_file: {file}` needs a pyproject.toml beside it; add it"));
        }
    }
    found
}

#[cfg(test)]
mod tests;
