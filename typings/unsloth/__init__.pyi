from typing import Any

FastVisionModel: Any
