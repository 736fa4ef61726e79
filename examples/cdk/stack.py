"""The layer, and a function with it whose telemetry goes to a bucket: `cdk deploy` in this folder.

LAYER_ARN in the environment is a version of the layer that is there already; without it the zip in dist/ is published.
Synthesised in our tests; never deployed by us, for want of an account.
"""

from __future__ import annotations

import os
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam, aws_lambda, aws_s3

ROOT = Path(__file__).resolve().parent.parent.parent
ORGANIZATION = os.environ.get("ORGANIZATION", "")  # whose accounts may use the layer, as o-a1b2c3d4e5

app = cdk.App()
stack = cdk.Stack(app, "TelemetryForwarder")

layer: aws_lambda.ILayerVersion
if arn := os.environ.get("LAYER_ARN"):
    layer = aws_lambda.LayerVersion.from_layer_version_arn(stack, "Layer", arn)
else:
    layer = aws_lambda.LayerVersion(
        stack,
        "Layer",
        layer_version_name="telemetry-forwarder-x86_64",
        description="Forwards a function's telemetry to where FORWARDER_SINKS says",
        code=aws_lambda.Code.from_asset(str(ROOT / "dist" / "telemetry-forwarder-x86_64.zip")),
        compatible_architectures=[aws_lambda.Architecture.X86_64],
        license="Apache-2.0",
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )
    if ORGANIZATION:
        layer.add_permission("Organization", account_id="*", organization_id=ORGANIZATION)

bucket = aws_s3.Bucket(
    stack,
    "Telemetry",
    block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
    lifecycle_rules=[aws_s3.LifecycleRule(expiration=cdk.Duration.days(90))],
    removal_policy=cdk.RemovalPolicy.RETAIN,
)
function = aws_lambda.Function(
    stack,
    "Function",
    code=aws_lambda.Code.from_asset(str(ROOT / "examples" / "function")),
    handler="app.handler",
    runtime=aws_lambda.Runtime.PYTHON_3_13,
    architecture=aws_lambda.Architecture.X86_64,
    memory_size=256,
    timeout=cdk.Duration.seconds(10),
    layers=[layer],
    environment={"FORWARDER_SINKS": f"s3://{bucket.bucket_name}/telemetry"},
)
# All that the sink calls: bucket.grant_put() would allow more.
function.add_to_role_policy(
    aws_iam.PolicyStatement(actions=["s3:PutObject"], resources=[bucket.arn_for_objects("telemetry/*")])
)
cdk.CfnOutput(stack, "LayerArn", value=layer.layer_version_arn)
cdk.CfnOutput(stack, "BucketName", value=bucket.bucket_name)

app.synth()
