# SPDX-License-Identifier: Apache-2.0
"""What Bifrost does and how long it takes: counted here, shown to Prometheus and OpenTelemetry."""
