//! The button that sends some requests, and how they fare.

use leptos::prelude::*;

use super::{FormError, when_done};
use crate::post::{Post, PostForm};
use crate::server_fns::SendSampleTraffic;
use crate::view::{Permit, SampleRun};

#[component]
pub fn SampleTraffic(
    model_id: String,
    environment: String,
    #[prop(into)] permit: Signal<Permit>,
    #[prop(into)] run: Signal<Option<SampleRun>>,
) -> impl IntoView {
    let send = Post::to::<SendSampleTraffic>();
    when_done(send, || ());
    let refused = Memo::new(move |_| permit.with(|permit| permit.reason().map(str::to_owned)));
    let note = move || match (refused.get(), run.get()) {
        (_, Some(run)) => sentence(run),
        (Some(why), None) => format!("{why}."),
        (None, None) => "100 requests with the model's example input, over 20 seconds.".to_owned(),
    };
    view! {
        <PostForm post=send class="sample">
            <input type="hidden" name="model_id" value=model_id />
            <input type="hidden" name="environment" value=environment />
            <button
                type="submit"
                class="plain"
                disabled=move || send.pending.get() || refused.with(Option::is_some)
                aria-describedby="sample-note"
            >
                "Send sample traffic"
            </button>
            <p class="hint" id="sample-note" role="status">
                {note}
            </p>
            <FormError post=send />
        </PostForm>
    }
}

fn sentence(run: SampleRun) -> String {
    let SampleRun { of, sent, answered, refused, failed, running } = run;
    let so_far = if running { format!("{sent} of {of} sent") } else { format!("{sent} sent") };
    let mut text = format!("Sample traffic: {so_far}, {answered} answered");
    if refused > 0 {
        text.push_str(&format!(", {refused} refused by the model (does its example input fit?)"));
    }
    if failed > 0 {
        text.push_str(&format!(", {failed} failed"));
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_said_only_when_it_did() {
        let run = SampleRun { of: 100, sent: 37, answered: 36, refused: 0, failed: 0, running: true };
        assert_eq!(sentence(run), "Sample traffic: 37 of 100 sent, 36 answered.");
        let over = SampleRun { sent: 100, answered: 98, failed: 2, running: false, ..run };
        assert_eq!(sentence(over), "Sample traffic: 100 sent, 98 answered, 2 failed.");
    }
}
