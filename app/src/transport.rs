//! How the browser calls the server functions.
//!
//! They could be called as they are, but then each brings its own copy of the whole way from
//! arguments to answer into the WASM: together a third of it. Here is one way for all.

use leptos::server_fn::error::FromServerFnError;
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, RequestInit, Response};

use crate::error::AppError;

/// Calls a server function that reads; answers its JSON.
#[cfg(not(feature = "ssr"))]
pub fn get(path: &str, query: &[(&str, &str)]) -> crate::read::Reading {
    let query = form(query);
    let url = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    Box::pin(SendWrapper::new(call(url, None)))
}

/// Calls a server function that acts, with the fields of a form; answers its JSON.
pub fn post(path: &str, body: String) -> crate::read::Reading {
    Box::pin(SendWrapper::new(call(path.to_owned(), Some(body))))
}

#[cfg(not(feature = "ssr"))]
fn form(fields: &[(&str, &str)]) -> String {
    let Ok(params) = web_sys::UrlSearchParams::new() else { return String::new() };
    for (name, value) in fields {
        params.append(name, value);
    }
    String::from(params.to_string())
}

async fn call(url: String, body: Option<String>) -> Result<String, AppError> {
    let failed = |error: JsValue| {
        let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
        AppError::Connection { message: message.unwrap_or_else(|| "the request failed".into()) }
    };
    let init = RequestInit::new();
    init.set_method(if body.is_some() { "POST" } else { "GET" });
    if let Some(body) = &body {
        init.set_body(&JsValue::from_str(body));
    }
    let request = Request::new_with_str_and_init(&url, &init).map_err(failed)?;
    let headers = request.headers();
    headers.set("accept", "application/json").map_err(failed)?;
    if body.is_some() {
        headers.set("content-type", "application/x-www-form-urlencoded").map_err(failed)?;
    }
    let response =
        JsFuture::from(leptos::prelude::window().fetch_with_request(&request)).await.map_err(failed)?;
    let response: Response = response.dyn_into().map_err(failed)?;
    let text = JsFuture::from(response.text().map_err(failed)?).await.map_err(failed)?;
    let text = text.as_string().unwrap_or_default();
    if response.ok() { Ok(text) } else { Err(AppError::de(text.into_bytes().into())) }
}
