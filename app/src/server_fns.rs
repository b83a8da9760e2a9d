//! The dashboard's API: one function per call, each open the door, call, close.
//!
//! Paths are stable (`/api/ui/…`) so that scripts can use them with a key:
//! reads are GET with a query, actions are POST with a form.

mod actions;
#[cfg(all(test, feature = "ssr"))]
mod bad_input;
mod controls;
mod environments;
mod keys;
mod people;
mod read;
mod sent;
mod session;
mod settings;

pub use actions::{
    Activate, Deactivate, DeleteDeployment, DeleteModel, Promote, Publish, Rename, Retry, TerminateReplica,
    TryRequest, activate, deactivate, delete_deployment, delete_model, promote, publish, rename, retry,
    terminate_replica, try_request,
};
pub use controls::{
    CancelPromotion, ForceCancelPromotion, ForceRollForwardPromotion, PausePromotion, ResumePromotion,
    cancel_promotion, force_cancel_promotion, force_roll_forward_promotion, pause_promotion,
    resume_promotion,
};
pub use environments::{
    ActivateEnvironment, CreateEnvironment, DeactivateEnvironment, DeleteEnvironment, RestrictEnvironment,
    SendSampleTraffic, activate_environment, create_environment, deactivate_environment, delete_environment,
    restrict_environment, send_sample_traffic,
};
pub use keys::{
    CreateKey, DeleteSecret, ReadKeys, ReadSecrets, RevokeKey, SetSecret, create_key, delete_secret,
    read_keys, read_secrets, revoke_key, set_secret,
};
pub use people::{
    ChangePassword, ChangeRole, Invite, Join, ReadLink, ReadPeople, RemovePerson, ResetPassword,
    RevokeInvitation, SignOutElsewhere, change_password, change_role, invite, join, read_link, read_people,
    remove_person, reset_password, revoke_invitation, sign_out_elsewhere,
};
pub use read::{
    ReadActivity, ReadDeployment, ReadEnvironment, ReadLive, ReadLogs, ReadMetrics, ReadModel, ReadModels,
    ReadReplicas, ReadScaling, ReadUsage, read_activity, read_deployment, read_environment, read_live,
    read_logs, read_metrics, read_model, read_models, read_reference, read_replicas, read_scaling,
    read_usage,
};
pub use session::{
    ChooseTheme, ReadSession, SignInWith, SignOut, choose_theme, read_session, sign_in_with, sign_out,
};
pub use settings::{
    UpdateAutoscaling, UpdateEnvironmentAutoscaling, UpdatePromotionSettings, update_autoscaling,
    update_environment_autoscaling, update_promotion_settings,
};

#[cfg(feature = "ssr")]
mod door;
