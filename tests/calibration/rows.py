"""Made-up measurement files in the published schemas; no row of a real one."""

from pathlib import Path

SILICON = (
    "id,model_path,system,backend,backend_version,precision,gemm_quant_mode,moe_quant_mode,mode,isl,osl,concurrency,"
    "batch_size,tp_size,pp_size,attention_dp_size,moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms,source"
)
GAP_ANALYSIS = "source_file=gap/h100_sxm/vllm/0.12.0/model.csv"
INFERENCEX = "source_file=2026-04-06.csv; model=M"


def silicon_row(**changes: object) -> str:
    """One row: Llama-3.1-8B on one H100, 8 users of 1024 and 128 tokens."""
    fields: dict[str, object] = {
        "id": "row",
        "model_path": "meta-llama/Llama-3.1-8B",
        "system": "h100_sxm",
        "backend": "vllm",
        "backend_version": "0.12.0",
        "precision": "",
        "gemm_quant_mode": "",
        "moe_quant_mode": "",
        "mode": "agg",
        "isl": 1024,
        "osl": 128,
        "concurrency": 8,
        "batch_size": 8,
        "tp_size": 1,
        "pp_size": 1,
        "attention_dp_size": "",
        "moe_tp_size": 1,
        "moe_ep_size": 1,
        "silicon_ttft_ms": 100.0,
        "silicon_tpot_ms": 10.0,
        "source": GAP_ANALYSIS,
    }
    return ",".join(str(value) for value in (fields | changes).values())


def write(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


PREFILL = "model,gpu,tp,pp,backend,backend_version,prefill_isl,ttft_ms,source"
DECODE = (
    "model,gpu,tp,pp,backend,backend_version,max_kv_tokens,kv_usage_fraction,context_length,"
    "derived_batch(kv_usage*max_kv/context),itl_ms,source"
)
REQUESTS = (
    "run,model,gpu,tp,dp,max_num_seqs,max_num_batched_tokens,vllm_version,request_id,input_toks,output_toks,"
    "arrival_offset_s,queue_s(scheduled-queued),ttft_s(first_token-queued),tpot_s,e2e_s(last_token-queued),source"
)
PUBLISHED = (
    "model,gpu,parallelism,precision,backend,backend_version,isl,osl,load,throughput_req_s,ttft_mean_ms,tpot_mean_ms,"
    "note,source"
)
