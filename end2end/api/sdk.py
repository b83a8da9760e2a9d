"""The unmodified `baseten` SDK drives a real server: `python sdk.py`. Each test goes on where the one before ended."""

import concurrent.futures
import sys
import time
import traceback
from datetime import UTC, datetime, timedelta

import httpx
from baseten.client import managementapi as m
from baseten.client.managementapi import ResponseError

from slipway import EXAMPLES, Slipway, until

ECHO = EXAMPLES / "echo"


def now():
    return int(time.time() * 1000)


def refusal(call):
    """The status and the text of a call that must be refused."""
    try:
        answer = call()
    except ResponseError as error:
        return error
    raise AssertionError(f"it was not refused: {answer}")


class Tests:
    def __init__(self, slipway):
        self.slipway, self.api = slipway, slipway.api

    def predict(self, path, body, timeout=60):
        headers = {"authorization": f"Bearer {self.slipway.key}"}
        return httpx.post(f"{self.slipway.url}/model/{self.model}/{path}", json=body, headers=headers, timeout=timeout)

    def environment(self, name="production"):
        return self.api.get_models_environments_env_name(model_id=self.model, env_name=name)

    def promote(self, deployment, name="production", **more):
        request = m.PromoteToEnvironmentRequest.model_validate({"deployment_id": deployment, **more})
        return self.api.post_models_environments_promote(model_id=self.model, env_name=name, request=request)

    def serves(self, deployment, name="production"):
        until(
            f"{name} serves {deployment}",
            lambda: (found := self.environment(name)).current_deployment
            and found.current_deployment.id == deployment
            and (found.in_progress_promotion is None or found.in_progress_promotion.status == "SUCCEEDED"),
            lambda: self.environment(name),
        )

    def test_a_push_by_rest_becomes_production(self):
        made = self.slipway.push(ECHO, name="Echo", deployment_name="first", labels={"team": "search"})
        self.model, self.first = made.model.id, made.deployment.id
        assert made.deployment.name == "first" and made.deployment.labels == {"team": "search"}
        assert made.deployment.status in ("BUILDING", "DEPLOYING"), made.deployment
        found = self.slipway.reaches(self.model, self.first, "ACTIVE")
        assert found.active_replica_count == 1 and not found.is_development
        self.serves(self.first)
        assert self.api.get_models_deployments_production(model_id=self.model).id == self.first
        answer = self.predict("production/predict", {"n": 1})
        assert answer.json()["echo"] == {"n": 1}, answer.text

    def test_models_are_listed_read_and_renamed(self):
        models = self.api.get_models().models
        assert [model.id for model in models] == [self.model] and models[0].production_deployment_id == self.first
        assert self.api.get_models(params=m.GetModelsParams(name="Other")).models == []
        renamed = self.api.patch_models(model_id=self.model, request=m.UpdateModelRequest(name="Echoes"))
        assert renamed.name == "Echoes" and self.api.get_models_model_id(model_id=self.model).name == "Echoes"
        assert refusal(lambda: self.api.get_models_model_id(model_id="nothing")).status_code == 404

    def test_deployments_are_listed_named_and_read(self):
        self.second = self.slipway.push(ECHO, model=self.model).deployment.id
        self.slipway.reaches(self.model, self.second, "ACTIVE")
        listed = self.api.get_models_deployments(model_id=self.model).deployments
        assert [one.id for one in listed] == [self.second, self.first]
        request = m.UpdateDeploymentRequest(name="better")
        named = self.api.patch_models_deployments(model_id=self.model, deployment_id=self.second, request=request)
        assert named.name == "better" and named.model_id == self.model
        config = self.api.get_models_deployments_config(model_id=self.model, deployment_id=self.second)
        assert config.config["model_name"] == "Echo" and "predict_concurrency: 16" in config.raw_config
        link = self.api.get_models_deployments_download(model_id=self.model, deployment_id=self.second)
        assert len(httpx.get(link.download_url).content) > 1000

    def test_autoscaling_is_changed_within_its_ranges(self):
        change = m.UpdateAutoscalingSettings(min_replica=1, max_replica=2, concurrency_target=4)
        update = self.api.patch_models_deployments_autoscaling_settings
        done = update(model_id=self.model, deployment_id=self.second, request=change)
        assert done.status == "ACCEPTED", done
        assert update(model_id=self.model, deployment_id=self.second, request=change).status == "UNCHANGED"
        found = self.slipway.deployment(self.model, self.second).autoscaling_settings
        assert (found.min_replica, found.max_replica, found.concurrency_target) == (1, 2, 4)
        assert (found.autoscaling_window, found.scale_down_delay, found.target_utilization_percentage) == (60, 900, 70)
        wrong = m.UpdateAutoscalingSettings(autoscaling_window=5)
        error = refusal(lambda: update(model_id=self.model, deployment_id=self.second, request=wrong))
        assert error.status_code == 400 and "autoscaling_window" in str(error)

    def test_requests_are_refused_while_all_replicas_are_busy(self):
        request = m.UpdateRequestBackpressureSettings(policy="REJECT_ON_FULL")
        settings = self.api.patch_models_deployments_request_backpressure_settings(
            model_id=self.model, deployment_id=self.second, request=request
        )
        assert settings.policy == "REJECT_ON_FULL"
        found = self.slipway.deployment(self.model, self.second)
        assert found.request_backpressure_settings.policy == "REJECT_ON_FULL"
        assert self.predict(f"deployment/{self.second}/predict", {"n": 2}).json()["echo"] == {"n": 2}

    def test_a_deployment_is_promoted_directly(self):
        candidate = self.promote(self.second)
        assert candidate.id == self.second
        self.serves(self.second)
        environment = self.environment()
        assert environment.current_deployment.is_production
        # What serves an environment follows its settings.
        assert environment.request_backpressure_settings.policy is None

    def test_environments_are_created_updated_and_deleted(self):
        request = m.CreateEnvironmentRequest.model_validate(
            {
                "name": "staging",
                "autoscaling_settings": {"max_replica": 3},
                "promotion_settings": {"promotion_cleanup_strategy": "KEEP"},
                "request_backpressure_settings": {"policy": "QUEUE_ON_FULL"},
            }
        )
        made = self.api.post_models_environments(model_id=self.model, request=request)
        assert made.current_deployment is None and made.autoscaling_settings.max_replica == 3
        assert made.promotion_settings.promotion_cleanup_strategy == "KEEP"
        assert made.request_backpressure_settings.policy == "QUEUE_ON_FULL"
        change = m.UpdateEnvironmentRequest.model_validate(
            {"promotion_settings": {"redeploy_on_promotion": True}, "request_backpressure_settings": {"policy": None}}
        )
        done = self.api.patch_models_environments(model_id=self.model, env_name="staging", request=change)
        assert done.status == "ACCEPTED" and done.environment.promotion_settings.redeploy_on_promotion
        assert done.environment.request_backpressure_settings.policy is None
        names = [one.name for one in self.api.get_models_environments(model_id=self.model).environments]
        assert names == ["production", "staging"], names
        groups = self.api.get_environment_groups().items
        assert [group.name for group in groups] == ["production", "staging"]
        assert not self.api.get_environment_groups_env_name(env_name="staging").manage_access.is_restricted
        for restricted in (True, False):
            access = m.UpdateEnvironmentGroupRequest.model_validate({"manage_access": {"is_restricted": restricted}})
            changed = self.api.patch_environment_groups(env_name="staging", request=access).manage_access
            assert changed.is_restricted == restricted and changed.users == ([] if restricted else None)
        gone = self.api.delete_models_environments(model_id=self.model, env_name="staging")
        assert gone.deleted and gone.name == "staging"
        error = refusal(lambda: self.api.delete_models_environments(model_id=self.model, env_name="production"))
        assert error.status_code == 400

    def test_a_canary_is_paused_resumed_and_canceled(self):
        change = {"promotion_settings": {"ramp_up_while_promoting": True, "ramp_up_duration_seconds": 600}}
        request = m.UpdateEnvironmentRequest.model_validate(change)
        self.api.patch_models_environments(model_id=self.model, env_name="production", request=request)
        self.promote(self.first)
        ramping = lambda: (found := self.environment().in_progress_promotion) and found.status == "RAMPING_UP"
        until("the canary moves traffic", ramping, self.environment)
        promotion = self.environment().in_progress_promotion
        assert promotion.percent_traffic_to_new_version == 10 and not promotion.rolling_deploy
        assert self.environment().candidate_deployment.id == self.first
        at = {"model_id": self.model, "env_name": "production"}
        assert self.api.post_models_environments_pause_promotion(**at).success
        until("it is paused", lambda: self.environment().in_progress_promotion.status == "PAUSED")
        assert self.api.post_models_environments_resume_promotion(**at).success
        until("it goes on", ramping, self.environment)
        assert self.api.post_models_environments_cancel_promotion(**at).status == "CANCELED"
        assert self.environment().current_deployment.id == self.second
        error = refusal(lambda: self.api.post_models_environments_cancel_promotion(**at))
        assert error.status_code == 400

    def test_a_rolling_promotion_is_forced_forward(self):
        override = {
            "ramp_up_while_promoting": False,
            "rolling_deploy": True,
            "rolling_deploy_config": {"max_surge_percent": 50, "stabilization_time_seconds": 600},
        }
        self.promote(self.first, promotion_settings_override=override)
        until("it rolls", lambda: (found := self.environment().in_progress_promotion) and found.rolling_deploy)
        at = {"model_id": self.model, "env_name": "production"}
        assert self.api.post_models_environments_force_roll_forward_promotion(**at).success
        self.serves(self.first)
        self.promote(self.second, promotion_settings_override={"ramp_up_while_promoting": True})
        until("it began", lambda: self.environment().in_progress_promotion is not None)
        assert self.api.post_models_environments_force_cancel_promotion(**at).success
        until("it is over", lambda: self.environment().in_progress_promotion is None, self.environment)
        assert self.environment().current_deployment.id == self.first

    def test_deactivate_activate_and_retry(self):
        at = {"model_id": self.model, "deployment_id": self.second}
        assert not self.api.post_models_deployments_deactivate(**at).no_op
        assert self.slipway.reaches(self.model, self.second, "INACTIVE").active_replica_count == 0
        assert self.predict(f"deployment/{self.second}/predict", {}).status_code == 404
        assert self.api.post_models_deployments_deactivate(**at).no_op
        assert not self.api.post_models_deployments_activate(**at).no_op
        self.slipway.reaches(self.model, self.second, "ACTIVE")
        answer = self.api.post_models_deployments_retry(**at)
        assert not answer.retried and answer.reason and answer.deployment.id == self.second

    def test_logs_are_filtered(self):
        at = {"model_id": self.model, "deployment_id": self.first}
        lines = self.api.get_models_deployments_logs(**at).logs
        assert lines and all(int(line.timestamp) > 1e18 for line in lines)
        oldest = self.api.get_models_deployments_logs(
            **at, params=m.GetModelsDeploymentsLogsParams.model_validate({"direction": "asc", "limit": 1})
        ).logs
        assert len(oldest) == 1 and oldest[0].timestamp == min(line.timestamp for line in lines)
        request = m.GetDeploymentLogsRequest.model_validate({"includes": ["no such words"]})
        assert self.api.post_models_deployments_logs(**at, request=request).logs == []
        of_environment = self.api.get_models_environments_logs(model_id=self.model, env_name="production").logs
        assert of_environment[0].message

    def test_metrics_count_what_was_sent(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: self.predict("production/predict", {"n": n}), range(20)))
        assert [answer.status_code for answer in answers] == [200] * 20
        names = ["baseten_inference_requests_total", "baseten_container_cpu_memory_working_set_bytes"]
        ask = lambda mode, *metrics: self.api.get_models_deployments_metrics(
            model_id=self.model,
            deployment_id=self.first,
            params=m.GetModelsDeploymentsMetricsParams.model_validate({"mode": mode, "metrics": list(metrics)}),
        )
        served = lambda: (found := ask("SUMMARY", names[0]).metric_values[0].values[0][0]) and found * 3600 > 20
        until("they are counted", served)
        current = ask("CURRENT", *names)
        assert [one.name for one in current.metric_descriptors] == names
        memory = current.metric_descriptors[1]
        assert memory.unit_hint == "BYTES" and len(memory.label_sets) == 1
        assert current.metric_values[0].values[1][0] > 10_000_000
        series = ask("SERIES", names[0])
        assert series.step_seconds > 0 and len(series.metric_values) > 10
        used = lambda: [value for step in ask("SERIES", names[1]).metric_values for value in step.values[0] if value]
        until("the processes are looked at", used)
        assert max(used()) > 10_000_000
        environment = self.api.get_models_environments_metrics(model_id=self.model, env_name="production")
        assert environment.metric_descriptors[0].name == "baseten_replicas_active"

    def test_startups_have_phases_and_percentiles(self):
        window = {"start_epoch_millis": now() - 3_600_000, "end_epoch_millis": now() + 1000}
        at = {"model_id": self.model, "deployment_id": self.second}
        list_ = m.GetModelsDeploymentsStartupsParams.model_validate({**window, "sort_by": "DURATION", "limit": 1})
        page = self.api.get_models_deployments_startups(**at, params=list_)
        assert page.total_count >= 2 and len(page.items) == 1 and page.pagination.has_more
        longest = page.items[0]
        assert longest.outcome == "SUCCESS" and longest.deployment_name == "better"
        assert [phase.phase for phase in longest.phase_summary] == ["SCHEDULING", "CONTAINER_START", "READINESS"]
        assert sum(phase.duration_ms for phase in longest.phase_summary) == longest.duration_ms
        summary = self.api.get_models_deployments_startups_summary(
            **at, params=m.GetModelsDeploymentsStartupsSummaryParams.model_validate(window)
        )
        assert summary.total_duration_ms.sample_count == page.total_count
        assert summary.total_duration_ms.p99_ms == longest.duration_ms
        of_environment = self.api.get_models_environments_startups(
            model_id=self.model,
            env_name="production",
            params=m.GetModelsEnvironmentsStartupsParams.model_validate(window),
        )
        assert all(item.environment_name == "production" for item in of_environment.items)

    def test_secrets_are_set_replaced_and_deleted(self):
        one = self.api.post_secrets(request=m.UpsertSecretRequest(name="token", value="hush"))
        again = self.api.post_secrets(request=m.UpsertSecretRequest(name="token", value="hush2"))
        assert one.id == again.id and [secret.name for secret in self.api.get_secrets().secrets] == ["token"]
        assert self.api.get_teams_secrets(team_id="default").secrets[0].name == "token"
        assert self.api.delete_secrets(secret_name="token").name == "token"
        assert self.api.get_secrets().secrets == []

    def test_keys_are_shown_once_and_end_when_revoked(self):
        request = m.CreateAPIKeyRequest.model_validate({"name": "ci", "type": "WORKSPACE_INVOKE"})
        key = self.api.post_teams_api_keys(team_id="default", request=request).api_key
        prefix = key.split(".")[0]
        listed = {one.prefix: one for one in self.api.get_api_keys().keys}
        assert listed[prefix].name == "ci" and listed[prefix].type == "WORKSPACE_INVOKE"
        call = lambda: httpx.post(
            f"{self.slipway.url}/model/{self.model}/production/predict",
            json={},
            headers={"authorization": f"Api-Key {key}"},
        ).status_code
        assert call() == 200
        assert self.api.delete_api_keys(api_key_prefix=prefix).prefix == prefix
        assert call() == 401

    def test_the_audit_log_says_who_did_what(self):
        params = m.GetAuditLogsParams.model_validate({"event_type_groups": ["PROMOTED"], "limit": 5})
        page = self.api.get_audit_logs(params=params)
        assert page.items and all(item.source in ("API", "SYSTEM") for item in page.items)
        params = m.GetModelsAuditLogsParams.model_validate({"limit": 200})
        actions = self.api.get_models_audit_logs(model_id=self.model, params=params).items
        kinds = {item.event_type for item in actions}
        expected = {
            "MODEL_DEPLOYED",
            "MODEL_RENAMED",
            "MODEL_DEPLOYMENT_PROMOTED",
            "MODEL_PROMOTION_CONTROL_ACTION",
            "MODEL_DEPLOYMENT_AUTOSCALING_SETTINGS_CHANGED",
            "MODEL_DEPLOYMENT_REQUEST_BACKPRESSURE_SETTINGS_CHANGED",
            "ENVIRONMENT_CREATED",
            "ENVIRONMENT_DELETED",
        }
        assert expected <= kinds, expected - kinds
        assert actions[-1].actor.type == "API_KEY" and actions[-1].actor.api_key_name == "admin"

    def test_usage_counts_minutes_and_requests(self):
        today = datetime.now(UTC)
        params = m.GetBillingUsageSummaryParams(start_date=today - timedelta(days=2), end_date=today)
        usage = lambda: self.api.get_billing_usage_summary(params=params).dedicated_usage
        rows = lambda: {row.billable_resource.id: row for row in usage().breakdown}
        until("usage is written", lambda: self.first in rows() and rows()[self.first].inference_requests >= 20, usage)
        row = rows()[self.first]
        assert row.minutes >= 1 and row.billable_resource.kind == "MODEL_DEPLOYMENT"
        assert (row.billable_resource.team_id, row.billable_resource.team_name) == ("default", "default")

    def test_the_workspace(self):
        teams = self.api.get_teams().teams
        assert [(team.id, team.default) for team in teams] == [("default", True)]
        assert self.api.get_teams_team_id(team_id="default").name == "default"
        assert self.api.get_organizations_me().org_id and self.api.get_users_me().name
        # Nobody has signed in yet: an admin's key is all there is.
        assert self.api.get_users(params=m.GetUsersParams.model_validate({"limit": 1})).items == []
        mine = self.api.get_api_keys(params=m.GetApiKeysParams.model_validate({"created_by_me": True})).keys
        assert mine == []
        types = self.api.get_instance_types().instance_types
        assert types and types[0].millicpu_limit >= 1000 and types[0].memory_limit_mib > 100
        prices = self.api.get_instance_type_prices().instance_types
        assert [price.instance_type.id for price in prices] == [one.id for one in types]
        assert [region.slug for region in self.api.get_regions().regions] == ["local"]
        error = refusal(lambda: self.api.post_token(request=m.CreateTokenRequest(scopes=["sandboxes"])))
        assert error.status_code == 404 and "sandboxes" in str(error)

    def test_the_audit_log_says_what_became_of_people(self):
        key = {"authorization": f"Bearer {self.slipway.key}"}

        def act(function, headers=key, **fields):
            answer = httpx.post(f"{self.slipway.url}/api/ui/{function}", data=fields, headers=headers)
            assert answer.status_code == 200, answer.text
            return answer

        email = "ben@example.org"
        token = act("invite", email=email, role="viewer").json()["text"].split("token=")[1]
        act("join", headers={}, token=token, password="a good password")
        ben = self.api.get_users(params=m.GetUsersParams.model_validate({"email": email})).items[0].user_id
        act("change_role", person=ben, role="deployer")
        act("remove_person", person=ben, confirm=email)
        params = m.GetAuditLogsParams.model_validate({"event_type_groups": ["USER_MANAGEMENT"]})
        told = {item.event_type: item.event_data for item in self.api.get_audit_logs(params=params).items}
        invited, joined = told["USER_INVITED"], told["USER_JOINED_ORGANIZATION"]
        updated, removed = told["USER_ROLE_UPDATED"], told["USER_REMOVED"]
        assert isinstance(invited, m.AuditLogEventUserInvited), invited
        assert (invited.invited_user_email, invited.role_name) == (email, "viewer")
        assert isinstance(joined, m.AuditLogEventUserJoinedOrganization), joined
        assert (joined.new_user_email, joined.user_id) == (email, ben)
        assert isinstance(updated, m.AuditLogEventUserRoleUpdated), updated
        assert (updated.user_id, updated.user_email, updated.new_role_name) == (ben, email, "deployer")
        assert isinstance(removed, m.AuditLogEventUserRemoved) and removed.removed_user_email == email, removed

    def test_a_replica_is_terminated_and_another_takes_its_place(self):
        window = {"start_epoch_millis": now() - 3_600_000, "end_epoch_millis": now() + 1000}
        params = m.GetModelsDeploymentsStartupsParams.model_validate(window)
        at = {"model_id": self.model, "deployment_id": self.first}
        running = self.api.get_models_deployments_startups(**at, params=params).items[0].replica_id
        assert self.api.delete_models_deployments_replicas(**at, replica_id=running).success
        before = self.predict("production/predict", {}).json()["pid"]
        assert self.predict("production/predict", {}).json()["pid"] == before

    def test_what_is_deleted_is_gone(self):
        error = refusal(lambda: self.api.delete_models_deployments(model_id=self.model, deployment_id=self.first))
        assert error.status_code == 400 and "production" in str(error)
        gone = self.api.delete_models_deployments(model_id=self.model, deployment_id=self.second)
        assert gone.deleted and gone.model_id == self.model
        assert refusal(lambda: self.slipway.deployment(self.model, self.second)).status_code == 404
        assert self.api.delete_models(model_id=self.model).deleted
        assert self.api.get_models().models == []


def main():
    passed = failed = 0
    with Slipway() as slipway:
        tests = Tests(slipway)
        for name in [name for name in vars(Tests) if name.startswith("test_")]:
            started = time.monotonic()
            try:
                getattr(tests, name)()
                passed += 1
                print(f"ok      {name} ({time.monotonic() - started:.1f} s)", flush=True)
            except Exception:
                failed += 1
                print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
        if failed:
            print(slipway.printed()[-4000:])
    print(f"{passed} passed")
    if failed:
        print(f"{failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
