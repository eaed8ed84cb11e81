"""How measurements were taken, where their files do not say: facts of the harness, each with where it comes from.

They are inputs of a point. A fit that treats them as constants of the hardware learns nonsense: with lengths that vary
by a fifth requests spread out in time, with equal ones everyone prefills at once, and the mean TTFT differs tenfold.
"""

from penstock.calibration.points import Limits
from penstock.hardware.serving import Serving

# InferenceX (https://github.com/SemiAnalysisAI/InferenceX): benchmark_serving.py, --random-range-ratio 0.8,
# --num-prompts 10 x users, --max-num-seqs users for vLLM.
INFERENCEX_SPREAD = 0.2
REQUESTS_PER_USER = 10

# Token budgets of the engines by default: vLLM's API server on GPUs of 70 GiB and more; SGLang's
# --max-prefill-tokens; TensorRT-LLM's --max_num_tokens.
_BUDGETS = {"vllm": 8192, "sglang": 16_384, "trtllm": 8192}
# And as the InferenceX scripts set them: dsr1_fp8_h200.sh (--chunked-prefill-size), gptoss_fp4_h200_trt.sh
# (--max_num_tokens).
_INFERENCEX_SGLANG_MLA, _INFERENCEX_TRTLLM_MXFP4 = 32_768, 20_000

# Synthetic prompts are made of tokens, sent as text and tokenised again, so their lengths differ from the nominal ones
# by a few percent. Found by trying spreads of 0, 2, 5 and 20 %.
RETOKENISED_SPREAD = 0.05


def inferencex_limits(serving: Serving) -> Limits:
    """Of the engine in an InferenceX run."""
    if serving.engine == "sglang" and serving.model.mla:
        return Limits(max_num_batched_tokens=_INFERENCEX_SGLANG_MLA)
    if serving.engine == "trtllm" and serving.model.mxfp4:
        return Limits(max_num_batched_tokens=_INFERENCEX_TRTLLM_MXFP4)
    return default_limits(serving)


def default_limits(serving: Serving) -> Limits:
    """Of an engine run with its defaults."""
    return Limits(max_num_batched_tokens=_BUDGETS[serving.engine])


def gap_analysis_spread(serving: Serving, isl: int) -> float:
    """Of lengths in AIConfigurator's gap analysis (AIPerf, ISL in powers of two, lengths fixed).

    SGLang computes prompts first, so equal requests stay in step from the first to the last, as measured; vLLM's and
    TensorRT-LLM's drift apart. Runs with an ISL in round thousands are another benchmark, with lengths that vary.
    """
    return 0.0 if serving.engine == "sglang" and isl % 1000 else RETOKENISED_SPREAD


def client_bound(serving: Serving, users: int) -> bool:
    """Whether the client, not the engine, set the pace.

    In the gap analysis of Llama-3.1-8B on SGLang, 448 and more users wait for first tokens in proportion to their
    output length, whatever the number of GPUs: requests queue where the engine does not see them.
    """
    return serving.engine == "sglang" and serving.model.name == "meta-llama/Llama-3.1-8B" and users >= 448


# The pre-swept results of ai-dynamo: every request gets 500 tokens, and the context stated is prompt plus half of them.
SWEEP_OSL = 500


def sweep_computes_prompts(serving: Serving) -> bool:
    """Whether the decode sweep's inter-token latencies contain the prefill of the batch's own prompts.

    The sweep means to find its prompts cached. On the 70B model it did not: each further sequence costs as much more
    as its prompt takes to compute, spread over 500 tokens; on the 8B model they cost what reading their KV costs.
    """
    return serving.model.name == "meta-llama/Llama-3.3-70B"


# LLMServingSim's runs. KV tokens of the RTX 4090 run, which is full: the value with which the times of its single
# requests are met best (4 % off; 10 % with 43,000). vLLM logs it at start-up, the file does not have it.
RUN_KV_TOKENS = {"RTX4090/Llama-3.1-8B": 42_000}
