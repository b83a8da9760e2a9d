//! Who signs in here, as what, and who is invited.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::read::{self, Loaded, decode};
use domain::Role;
use leptos::prelude::*;

use super::{Confirm, Head, Listed, Once, refresh_when_made};
use crate::clock::{absolute, machine};
use crate::components::{FormError, Gone, TimeAgo, provide_refresh, when_done};
use crate::fresh::keep_fresh;
use crate::live::Topic;
use crate::server_fns::{ChangeRole, Invite, RemovePerson, RevokeInvitation};
use crate::view::{InvitationRow, PeoplePage, PersonRow};

/// The roles of people, with what they may.
const ROLES: [(Role, &str); 3] = [
    (Role::Viewer, "viewer: looks at everything, calls models"),
    (Role::Deployer, "deployer: pushes, promotes and changes models"),
    (Role::Admin, "admin: keys and people, too"),
];

#[component]
pub fn People() -> impl IntoView {
    view! {
        <Loaded
            which=Signal::derive(Vec::new)
            read=|_| read::people()
            body=|text| {
                let initial = decode::<PeoplePage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

#[component]
fn Body(initial: PeoplePage) -> impl IntoView {
    let fresh = keep_fresh(initial, Topic::Models, |_| false, read::people);
    provide_refresh(move || fresh.refresh());
    let page = fresh.value;
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    let may = Memo::new(move |_| page.with(|page| page.refused.is_none()));
    let is_empty = Memo::new(move |_| page.with(|page| page.people.is_empty()));
    let invited = Memo::new(move |_| page.with(|page| !page.invitations.is_empty()));
    view! {
        <Gone error=fresh.gone />
        <Head title="People" path="/settings/people" headline=Signal::derive(move || page.with(|page| page.headline.clone())) />
        {move || page.with(|page| page.refused.clone()).map(|why| view! { <p class="notice">{why}</p> })}
        <Listed
            label="People"
            caption="Everybody who signs in here"
            columns=&["Person", "Role", "Here since", "Last seen"]
            hidden=is_empty
        >
                    <For each=move || page.with(|page| page.people.clone()) key=|row| serde_json::to_string(row).unwrap_or_default() let(row)>
                        {person(row, may, as_of)}
                    </For>
        </Listed>
        {move || invited.get().then(|| view! { <Invited page=page /> })}
        {move || may.get().then(|| view! { <InviteForm /> })}
    }
}

fn person(row: PersonRow, may: Memo<bool>, as_of: Signal<domain::Timestamp>) -> impl IntoView {
    let PersonRow { id, email, name, role, created_at, last_seen_at, is_you, refused } = row;
    let shown = if name.is_empty() { email.clone() } else { name.clone() };
    let under = (!name.is_empty()).then(|| view! { <span class="under">{email.clone()}</span> });
    let label = email.clone();
    let (kept, reason) = (role, refused.clone());
    let (role_id, remove_id, remove_email) = (id.clone(), id, email);
    let changeable = Memo::new(move |_| may.get() && reason.is_none());
    view! {
        <tr aria-label=label>
            <th scope="row">
                {shown} {is_you.then(|| view! { " " <span class="chip">"you"</span> })} {under}
            </th>
            <td>
                {move || {
                    if changeable.get() {
                        view! { <RoleForm person=role_id.clone() role=kept /> }.erased()
                    } else {
                        view! { <span title=refused.clone()>{kept.as_str()}</span> }.erased()
                    }
                }}
            </td>
            <td>
                <TimeAgo at=created_at as_of=as_of />
            </td>
            <td>{last_seen_at.map(|at| view! { <TimeAgo at=at as_of=as_of /> })}</td>
            <td class="acts">
                {move || {
                    changeable.get().then(|| view! { <Remove person=remove_id.clone() email=remove_email.clone() /> })
                }}
            </td>
        </tr>
    }
}

#[component]
fn RoleForm(person: String, role: Role) -> impl IntoView {
    let change = Post::to::<ChangeRole>();
    when_done(change, || {});
    let options = ROLES
        .map(|(choice, _)| {
            view! {
                <option value=choice.as_str() selected=choice == role>
                    {choice.as_str()}
                </option>
            }
        })
        .collect_view();
    view! {
        <PostForm post=change class="inline">
            <input type="hidden" name="person" value=person />
            <select name="role" aria-label="Role">
                {options}
            </select>
            <button type="submit" class="quiet" disabled=move || change.pending.get()>
                "Change"
            </button>
            <FormError post=change />
        </PostForm>
    }
}

/// Removing asks for the address typed: it ends sessions and keys at once.
#[component]
fn Remove(person: String, email: String) -> impl IntoView {
    let typed = email.clone();
    view! {
        <Confirm
            post={Post::to::<RemovePerson>()}
            act="Remove"
            name=email
            field=("person", person)
            says="Their sessions and their own keys end at once. What they did stays in the activity."
        >
            <label class="field">
                <span>"Type the address to confirm"</span>
                <input name="confirm" placeholder=typed required autocomplete="off" spellcheck="false" />
            </label>
        </Confirm>
    }
}

#[component]
fn Invited(page: RwSignal<PeoplePage>) -> impl IntoView {
    view! {
        <section aria-labelledby="invited">
            <h2 id="invited">"Invited"</h2>
            <Listed
                label="Invitations"
                caption="Invitations that were not accepted yet"
                columns=&["Address", "Role", "Invited by", "Ends"]
            >
                        <For each=move || page.with(|page| page.invitations.clone()) key=|row| row.id.clone() let(row)>
                            {invitation(row)}
                        </For>
            </Listed>
        </section>
    }
}

fn invitation(row: InvitationRow) -> impl IntoView {
    let revoke = Post::to::<RevokeInvitation>();
    when_done(revoke, || {});
    let about = format!("Take back the invitation of {}", row.email);
    let label = row.email.clone();
    view! {
        <tr aria-label=label>
            <th scope="row">{row.email}</th>
            <td>{row.role.as_str()}</td>
            <td>{row.invited_by}</td>
            <td>
                <time datetime=machine(row.expires_at)>{absolute(row.expires_at)}</time>
            </td>
            <td class="acts">
                <PostForm post=revoke class="inline">
                    <input type="hidden" name="invitation" value=row.id />
                    <button type="submit" class="quiet" aria-label=about disabled=move || revoke.pending.get()>
                        "Take back"
                    </button>
                    <FormError post=revoke />
                </PostForm>
            </td>
        </tr>
    }
}

#[component]
fn InviteForm() -> impl IntoView {
    let invite = Post::to::<Invite>();
    refresh_when_made(invite);
    let options = ROLES
        .map(|(role, text)| {
            view! {
                <option value=role.as_str() selected=role == Role::Deployer>
                    {text}
                </option>
            }
        })
        .collect_view();
    view! {
        <section aria-labelledby="invite">
            <h2 id="invite">"Invite somebody"</h2>
            <PostForm post=invite class="stack">
                <label class="field">
                    <span>"E-mail address"</span>
                    <input type="email" name="email" required autocomplete="off" spellcheck="false" />
                </label>
                <label class="field">
                    <span>"Role"</span>
                    <select name="role">{options}</select>
                </label>
                <button type="submit" class="primary" disabled=move || invite.pending.get()>
                    "Make an invitation"
                </button>
                <FormError post=invite />
            </PostForm>
            <Once post=invite what="invitation" />
        </section>
    }
}
